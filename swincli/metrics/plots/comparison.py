"""Plot of the metrics of several runs over the number of images seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swincli.metrics.plots import PLOT_NOTE, new_figure
from swincli.synthesis.output.provenance import NOTE
from swincli.system.atomic_files import write_atomically
from swincli.units import format_count

_COLUMNS = 3
_PANEL = (4.2, 3.2)  # inches


@dataclass(frozen=True)
class Curve:
    """Values of one metric in one run, measured under the same conditions.

    Attributes:
        run: Index of the run, for its colour.
        points: Images seen and value, in order of images seen.
        intervals: Images seen and both ends of an interval, for the points that have one.
        comparable: Whether the conditions are those of the other runs; others are dotted.
    """

    run: int
    points: list[tuple[int, float]]
    intervals: list[tuple[int, float, float]]
    comparable: bool


def plot_curves(panels: Mapping[str, Sequence[Curve]], runs: Sequence[str], path: Path) -> None:
    """Plot one panel per metric with the curves of all runs, as a PNG.

    Args:
        panels: The curves by metric name; at least one panel.
        runs: Names of the runs, for the legend.
        path: The PNG.

    Raises:
        ResourceError: the file cannot be written.
    """
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(path, figsize=(_PANEL[0] * columns, _PANEL[1] * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (name, curves) in zip(axes, panels.items(), strict=False):
        for curve in curves:
            _draw_curve(panel, curve)
        panel.set_title(name)
        panel.set_xlabel("images seen")
        panel.xaxis.set_major_formatter(lambda value, _: format_count(round(value)) if value >= 0 else "")
        panel.grid(alpha=0.3)
    for panel in axes[len(panels) :]:
        panel.set_visible(False)
    handles = [axes[0].plot([], [], f"{_colour(index)}o-", label=name)[0] for index, name in enumerate(runs)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    write_atomically(
        path, lambda temporary: figure.savefig(temporary, format="png", dpi=120, metadata={NOTE: PLOT_NOTE})
    )


def _draw_curve(panel: Any, curve: Curve) -> None:
    colour, strength = _colour(curve.run), 1.0 if curve.comparable else 0.5
    x, y = zip(*curve.points, strict=True)
    line = "-" if curve.comparable else ":"
    panel.plot(x, y, color=colour, marker="o", markersize=3.5, linestyle=line, alpha=strength)
    for seen, low, high in curve.intervals:
        panel.vlines(seen, low, high, color=colour, alpha=0.6 * strength, linewidth=3)


def _colour(run: int) -> str:
    return f"C{run % 10}"
