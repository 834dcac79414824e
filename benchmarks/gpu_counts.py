"""What a GPU would be asked to do in a training step, counted without one. The figures are exact and the same anywhere.

    python benchmarks/gpu_counts.py [--only WORK ...] [--json FILE] [--compare FILE] [--markdown]

launches: operations on the device that are no views (a fused or foreach one counts once), of each phase of a step in
float32, uncompiled, and with CUDA graphs, each of which is one launch of the host; copies from the host that wait for
the device (blocking) or are queued; reads of the device by the host. D, G and the rest (images, draws, averages,
report) run in every step, R1 in every 16th. mixers: launches of the hybrid recipes, and of each token mixer at 64 px.
kept: bytes that one forward keeps for the backward pass. compile: what torch.compile is given by two steps; tracing
takes a minute or more. fused: launches of D and G compiled, by inductor's scheduler for a card that is made up; it
takes many minutes.

`--compare FILE` shows what such a file of an earlier state had. `--markdown` prints the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from compile_counts import count_compiled
from counted_steps import BCR, CASES, count_step, counted_recipe
from dispatch_counts import Counts
from kept_for_backward import count_kept
from mixer_counts import count_mixers

from swincli.recipe import Recipe
from swincli.version import __version__

GIB = 2**30
Figures = dict[str, dict[str, int]]
"""Counts by name, by row of the table."""
EVERY_STEP = ("rest", "D", "G")


def launches(title: str, recipe: Recipe, *, graphed: bool = False) -> Figures:
    """Rows of `count_step`: of each phase, and "step" for those of every step, with the places of waits."""
    parts = count_step(recipe, graphed=graphed)
    step = sum((parts[name] for name in EVERY_STEP), Counts())
    rows = {f"{title}, {name}": counts.totals() for name, counts in (parts | {"step": step}).items()}
    rows[f"{title}, step"] |= {f"{kind} in {place}": count for (kind, place), count in step.places().items()}
    return rows


def kept(title: str, recipe: Recipe) -> Figures:
    """Rows of `count_kept`."""
    return {f"{title}, {name}": figures for name, figures in count_kept(recipe).items()}


def compiled(title: str, recipe: Recipe) -> Figures:
    """The row of `count_compiled`."""
    return {f"{title}, compiled": count_compiled(recipe)}


def fused(title: str, recipe: Recipe) -> Figures:
    """Rows of `count_fused`, and "step" for D and G together."""
    from fused_counts import count_fused  # the compiler takes seconds to import

    found = count_fused(recipe)
    step = {name: sum(figures[name] for figures in found.values()) for name in found["D"]}
    return {f"{title}, {name} compiled": figures for name, figures in (found | {"step": step}).items()}


def mixers(title: str, recipe: Recipe) -> Figures:
    """Rows of `launches` of the hybrid recipe and, for the first case alone, of `count_mixers`."""
    hybrid = f"{title}-hybrid"
    rows = launches(hybrid, counted_recipe(hybrid, recipe.train.batch, *BCR[False]))
    if title != next(iter(CASES)):
        return rows
    counted = count_mixers(recipe)
    return rows | {
        f"{title}, mixer {name}": {part: counts.launches.total() for part, counts in parts.items()}
        for name, parts in counted.items()
    }


WORKS: dict[str, Callable[[str, Recipe], Figures]] = {
    "launches": launches,
    "mixers": mixers,
    "kept": kept,
    "compile": compiled,
    "fused": fused,
}


def count_all(only: Sequence[str] = tuple(WORKS), settings: Sequence[str] = ()) -> Figures:
    """All rows of the table.

    Args:
        only: Keys of `WORKS`.
        settings: More settings of the recipes, such as `model.size=32`.
    """
    rows: Figures = {}
    for name, batch in CASES.items():
        plain = counted_recipe(name, batch, *BCR[False], *settings)
        for work in only:
            rows |= WORKS[work](name, plain)
        if name == "ffhq256" and "launches" in only:  # the recipe of 1024 px has no bCR
            rows |= launches(f"{name} with bCR", counted_recipe(name, batch, *BCR[True], *settings))
            rows |= launches(f"{name} with CUDA graphs", plain, graphed=True)
    return rows


def table(rows: Figures, earlier: Figures) -> list[tuple[str, str, str, str]]:
    """Lines of the table: row, what is counted, the figure before (empty without one), the figure now."""
    return [
        (row, name.replace("_", " "), _shown(name, earlier.get(row, {}).get(name)), _shown(name, value))
        for row, figures in rows.items()
        for name, value in figures.items()
    ]


def as_text(lines: Sequence[tuple[str, str, str, str]]) -> str:
    """One line a figure."""
    return "".join(
        f"{row:<28}{name:<62}{now:>10}{f'   was {before}' if before else ''}\n" for row, name, before, now in lines
    )


def as_markdown(lines: Sequence[tuple[str, str, str, str]]) -> str:
    """The table of docs/benchmarks.md: without what is 0 and the places in the code."""
    head = "| | counted | before | now |\n| --- | --- | ---: | ---: |\n"
    told = [line for line in lines if {*line[2:]} - {"", "0", "0.00 GiB"} and " in " not in line[1]]
    told = [line for line in told if not line[0].endswith(", rest")]
    return head + "".join(f"| {row} | {name} | {before} | {now} |\n" for row, name, before, now in told)


def _shown(name: str, value: int | None) -> str:
    if value is None:
        return ""
    return f"{value / GIB:.2f} GiB" if name in ("kept", "attention") else f"{value:,}"


def read_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS), metavar="WORK")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the recipes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compare", type=Path)
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Count and print."""
    arguments = read_arguments()
    rows = count_all(arguments.only, arguments.set)
    earlier = json.loads(arguments.compare.read_text())["rows"] if arguments.compare else {}
    lines = table(rows, earlier)
    sys.stdout.write(as_markdown(lines) if arguments.markdown else as_text(lines))
    if arguments.json:
        versions = {"swincli": __version__, "pytorch": torch.__version__}
        arguments.json.write_text(json.dumps({"versions": versions, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
