"""The table of a projection's figures, for stderr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text


def figures_table(space: str, results: Sequence[dict[str, Any]]) -> Table:
    """PSNR, SSIM and perceptual distance, one row per picture and one per tuned image.

    Args:
        space: "w" or "w+".
        results: Entries of the command's JSON result.
    """
    table = Table(title=f"Projected into {space}", title_justify="left")
    table.add_column("picture", overflow="fold")
    for name in ("PSNR, dB", "SSIM", "stlpips"):
        table.add_column(name, justify="right")
    for entry in results:
        table.add_row(Text(Path(entry["source"]).name), *_cells(entry))
        if entry["tuned"] is not None:
            table.add_row("  tuned", *_cells(entry["tuned"]))
    return table


def _cells(entry: dict[str, Any]) -> list[str]:
    perceptual = entry["perceptual"]
    return [f"{entry['psnr']:.2f}", f"{entry['ssim']:.3f}", "-" if perceptual is None else f"{perceptual:.4f}"]
