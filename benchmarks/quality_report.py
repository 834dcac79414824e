"""The table and the pictures of `quality.py`: what each recipe reached, and how."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image, ImageDraw

from swincli.system.atomic_files import write_atomically
from swincli.system.resources import cpu_name
from swincli.version import __version__

LABEL_HEIGHT, GAP, COLUMNS = 14, 6, 4  # of the grids: pixels, pixels, number


Speeds = Mapping[str, Mapping[str, float]]
"""By recipe: sec_per_kimg, and memory, the peak in bytes of the GPU if there is one, else of the process."""


@dataclass(frozen=True)
class Point:
    """A measurement.

    Attributes:
        images: Images shown until then.
        values: Metrics by name.
        intervals: Ends of their 95 % intervals.
    """

    images: int
    values: dict[str, float]
    intervals: dict[str, list[float]]


@dataclass(frozen=True)
class Cell:
    """A recipe with one seed.

    Attributes:
        recipe: Name.
        seed: Seed.
        run: The run folder.
        points: Its measurements, oldest first; none if it failed.
        problem: Why it failed; empty if it did not.
    """

    recipe: str
    seed: int
    run: Path
    points: list[Point]
    problem: str = ""

    @property
    def last(self) -> Point:
        """The measurement at the end."""
        return self.points[-1]

    @property
    def best(self) -> Point:
        """The measurement with the lowest FID."""
        return min(self.points, key=lambda point: point.values["fid"])


def write_report(out: Path, name: str, reals: int, cells: Sequence[Cell], speeds: Speeds, fakes: int) -> str:
    """Write table.md, grids.png and, if there are curves, curves.png into a folder; returns the table."""
    good = [cell for cell in cells if cell.points]
    text = _table(name, reals, cells, speeds, fakes)
    write_atomically(out / "table.md", lambda path: path.write_text(text + "\n", encoding="utf-8"))
    if any(len(cell.points) > 1 for cell in good):
        _draw_curves(good, speeds, out / "curves.png")
    if good:
        _draw_grids(good, out / "grids.png")
    return text


def _table(name: str, reals: int, cells: Sequence[Cell], speeds: Speeds, fakes: int) -> str:
    """Rows of recipes; values are means over seeds."""
    by_recipe: dict[str, list[Cell]] = {}
    for cell in cells:
        by_recipe.setdefault(cell.recipe, []).append(cell)
    plain = [cell for cell in by_recipe.get("plain", []) if cell.points]
    reference = statistics.mean(cell.last.values["fid"] for cell in plain) if plain else None
    header = "recipe|seeds|kimg|FID|of plain's|best FID (kimg)|KID x 1000|precision|recall|authenticity"
    header += "|FID, EfficientNet|FID, GIST|sec/kimg|GiB"
    rows = [_row(header.split("|")), _row(["---", *["---:"] * header.count("|")])]
    rows += [_cells_row(recipe, group, speeds, reference) for recipe, group in by_recipe.items()]
    about = (
        f"{name}: {fakes:,} generated images against all {reals:,}; {datetime.now(UTC):%Y-%m-%d}, "
        f"swincli {__version__}, {cpu_name()}, {os.cpu_count()} cores. All values but the best FID are those of the "
        "last model; they are by Inception unless said otherwise. In brackets: 95 % intervals of one seed, or the "
        "lowest and the highest of several. FID by EfficientNet is left out where D looked through that network."
    )
    return "\n".join([about, "", *rows])


def _cells_row(recipe: str, group: Sequence[Cell], speeds: Speeds, reference: float | None) -> str:
    good = [cell for cell in group if cell.points]
    seeds = f"{len(good)}" + (f", {len(group) - len(good)} failed" if len(good) < len(group) else "")
    if not good:
        return _row([recipe, seeds, *["-"] * 12])
    fid = statistics.mean(cell.last.values["fid"] for cell in good)
    best, at = (
        statistics.mean(value(cell) for cell in good)
        for value in (lambda cell: cell.best.values["fid"], lambda cell: cell.best.images / 1000)
    )
    values = [
        recipe,
        seeds,
        f"{statistics.mean(cell.last.images for cell in good) / 1000:.1f}",
        _with_interval(good, "fid", 1, 1),
        "-" if reference is None else f"{fid / reference:.2f}",
        f"{best:.1f} ({at:.1f})" if any(len(cell.points) > 1 for cell in good) else "-",
        _with_interval(good, "kid", 1000, 1),
        *(_with_interval(good, metric, 1, 2) for metric in ("precision", "recall", "authenticity")),
        _with_interval(good, "fid-efficientnet", 1, 1),
        _with_interval(good, "fid-gist", 1, 1),
        f"{speeds[recipe]['sec_per_kimg']:.1f}" if recipe in speeds else "-",
        f"{speeds[recipe]['memory'] / 2**30:.2f}" if recipe in speeds else "-",
    ]
    return _row(values)


def _with_interval(cells: Sequence[Cell], metric: str, scale: float, digits: int) -> str:
    if any(metric not in cell.last.values for cell in cells):
        return "-"
    values = [scale * cell.last.values[metric] for cell in cells]
    ends = [min(values), max(values)]
    if len(cells) == 1:
        ends = [scale * end for end in cells[0].last.intervals.get(metric, [])]
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]" if ends else mean


def _row(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"


def _draw_curves(cells: Sequence[Cell], speeds: Speeds, path: Path) -> None:
    """FID over images and over time, one line a cell; over time those of known speed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    minutes = {recipe: speed["sec_per_kimg"] / 60 for recipe, speed in speeds.items()}
    places = (("1,000 images", {cell.recipe: 1.0 for cell in cells}), ("minutes of training", minutes))
    names = list(dict.fromkeys(cell.recipe for cell in cells))
    for panel, (label, per_kimg) in zip(figure.subplots(1, 2), places, strict=True):
        for cell in (each for each in cells if each.recipe in per_kimg):
            number = names.index(cell.recipe)
            style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--", "marker": "o"}
            first = cell is next(each for each in cells if each.recipe == cell.recipe)
            x = [point.images / 1000 * per_kimg[cell.recipe] for point in cell.points]
            y = [point.values["fid"] for point in cell.points]
            panel.plot(x, y, markersize=3.5, label=cell.recipe if first else None, **style)
        panel.set_xlabel(label)
        panel.set_ylabel("FID")
        panel.set_yscale("log")
        panel.grid(alpha=0.3, which="both")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))


def _draw_grids(cells: Sequence[Cell], path: Path) -> None:
    """The last sample grids side by side, with names and FID; one of each recipe."""
    chosen = list({cell.recipe: cell for cell in reversed(cells)}.values())[::-1]
    grids = [Image.open(sorted((cell.run / "samples").glob("fakes-*.png"))[-1]).convert("RGB") for cell in chosen]
    width, height = grids[0].size
    columns = min(COLUMNS, len(grids))
    rows = -(-len(grids) // columns)
    step = width + GAP, height + LABEL_HEIGHT + GAP
    page = Image.new("RGB", (columns * step[0] - GAP, rows * step[1] - GAP), "white")
    draw = ImageDraw.Draw(page)
    for index, (cell, grid) in enumerate(zip(chosen, grids, strict=True)):
        left, top = index % columns * step[0], index // columns * step[1]
        draw.text((left, top), f"{cell.recipe}: FID {cell.last.values['fid']:.1f}", fill="black")
        page.paste(grid, (left, top + LABEL_HEIGHT))
    write_atomically(path, lambda temporary: page.save(temporary, format="PNG"))
