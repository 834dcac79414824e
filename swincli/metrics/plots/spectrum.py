"""Plot of the power spectra and of the edge strength by position, of both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swincli.metrics.definitions.radial_profile import WINDOW, RadialProfile
from swincli.metrics.plots import PLOT_NOTE, new_figure
from swincli.synthesis.output.provenance import NOTE
from swincli.system.atomic_files import write_atomically

FAKES, REALS = "#d1495b", "#30638e"


def plot_spectra(path: Path, fakes: RadialProfile, reals: RadialProfile, period: int = WINDOW) -> None:
    """Plot power over frequency, and edge strength over the position in a window of `period` pixels, as a PNG.

    Raises:
        ResourceError: the file cannot be written.
    """
    figure = new_figure(path, figsize=(11, 4.2), layout="constrained")
    power, edges = figure.subplots(1, 2, width_ratios=(3, 2))
    sides = ((reals, "reals", REALS, "o"), (fakes, "fakes", FAKES, "s"))
    for side, name, colour, marker in sides:
        levels = side.by_frequency()
        frequency = np.arange(1, len(levels) + 1) / min(side.size)
        power.plot(frequency, levels, color=colour, label=name, linewidth=1.5)
        edges.plot(side.edges_by_position(period), color=colour, label=name, marker=marker, linewidth=1.0)
    lines = np.arange(1, period // 2 + 1) / period
    for line in lines:
        power.axvline(line, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    power.set(title="Power spectra", xlabel="cycles per pixel", ylabel="power, dB", xlim=(0, 0.5))
    power.set_xticks([0, *lines], ["0", *(f"{number}/{period}" for number in range(1, period // 2 + 1))])
    edges.set(
        title="Edges by position", xlabel=f"position in a window of {period} px", ylabel="strength, dB over median"
    )
    edges.set_xticks(range(period))
    low, high = edges.get_ylim()
    edges.set_ylim(min(low, -1.0), max(high, 1.0))  # so that a tiny range looks tiny
    for axes in (power, edges):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", metadata={NOTE: PLOT_NOTE}))
