"""What runs have measured, drawn over the images that they had seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from swincli.errors import DataError
from swincli.metrics.compare import Comparison, Measurement, RunRecord
from swincli.system.atomic_files import write_atomically
from swincli.units import format_count

_COLUMNS = 3
_PANEL = (4.2, 3.2)  # inches


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Draw one panel for each value, with a line for each run and its intervals, as a PNG.

    What was measured otherwise than the others is dotted.

    Raises:
        DataError: no value is known over images seen.
        ResourceError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in comparison.names if _worth_a_panel(name, comparison)]
    if not names:
        hint = "Only models of a run know how many images they have seen."
        raise DataError("--compare: nothing was measured that could be drawn over images seen", hint)
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        for number, run in enumerate(comparison.runs):
            _draw_run(panel, run, name, comparison, f"C{number % 10}")
        panel.set_title(name)
        panel.set_xlabel("images seen")
        panel.xaxis.set_major_formatter(lambda value, _: format_count(round(value)) if value >= 0 else "")
        panel.grid(alpha=0.3)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    handles = [
        panels[0].plot([], [], f"C{number % 10}o-", label=run.name)[0] for number, run in enumerate(comparison.runs)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=120))


def _worth_a_panel(name: str, comparison: Comparison) -> bool:
    entries = [entry for run in comparison.runs for entry in run.measurements if entry.images_seen is not None]
    return not name.endswith("_std") and any(np.isfinite(entry.values.get(name, np.nan)) for entry in entries)


def _draw_run(panel: Any, run: RunRecord, name: str, comparison: Comparison, color: str) -> None:
    groups: dict[tuple[str, ...], list[Measurement]] = {}
    for entry in run.measurements:
        if entry.images_seen is not None and np.isfinite(entry.values.get(name, np.nan)):
            groups.setdefault(entry.conditions, []).append(entry)
    for conditions, entries in groups.items():
        ordered = sorted(entries, key=lambda entry: entry.images_seen or 0)
        x = [entry.images_seen or 0 for entry in ordered]
        y = np.array([entry.values[name] for entry in ordered])
        alike = conditions == comparison.conditions[name]
        strength = 1.0 if alike else 0.5
        panel.plot(x, y, color=color, marker="o", markersize=3.5, linestyle="-" if alike else ":", alpha=strength)
        for entry in ordered:
            if (ends := entry.intervals.get(name)) is not None:
                panel.vlines(entry.images_seen, *ends, color=color, alpha=0.6 * strength, linewidth=3)
