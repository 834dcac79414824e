"""Plots: metrics of several runs over training, nearest reals of the fakes, power spectra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swincli.errors import ResourceError

PLOT_NOTE = "evaluate --plots"
"""Note of every plot; a plot with it may be replaced by another one."""


def new_figure(path: Path, **options: Any) -> Any:
    """An empty Matplotlib figure for the plot at `path`.

    Args:
        path: The plot, for the error.
        options: Of `matplotlib.figure.Figure`.

    Raises:
        ResourceError: Matplotlib finds no folder for its own files.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except OSError:
        message = f"{path}: Matplotlib needs a folder for its files, and there is no home and no temporary folder"
        raise ResourceError(message, "Set MPLCONFIGDIR to a folder that can be written.") from None
    figure = Figure(**options)
    FigureCanvasAgg(figure)
    return figure
