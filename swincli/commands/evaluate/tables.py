"""Tables of measurements and of comparisons, for stderr."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from swincli.metrics.compare import Comparison
from swincli.metrics.evaluate import Evaluation


def result_table(result: Evaluation) -> Table:
    """Values with their intervals, then the protocol, one row each."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")  # paths are shown whole
    for name, value in result.values.items():
        ends = result.intervals.get(name)
        table.add_row(f"[bold]{name}[/]", f"[bold]{value:.5g}[/]" + (escape(f" {_between(ends)}") if ends else ""))
    for name, text in result.protocol.rows():
        table.add_row(name, escape(text))
    return table


def comparison_table(comparison: Comparison) -> Table:
    """One row per run and one column per metric; `*` marks values that are not comparable."""
    table = Table("run", "images seen", *comparison.names, box=None, pad_edge=False)
    for row in comparison.rows:
        cells = []
        for name in comparison.names:
            cell = row.cells.get(name)
            if cell is None:
                cells.append("-")
                continue
            mark = "" if cell.comparable else " *"
            cells.append(escape(f"{cell.value:.5g}{mark}" + (f" {_between(cell.interval)}" if cell.interval else "")))
        seen = sorted({cell.images_seen for cell in row.cells.values() if cell.images_seen is not None})
        table.add_row(escape(row.name), " / ".join(f"{number:,}" for number in seen) or "-", *cells)
    return table


def _between(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:.4g}, {ends[1]:.4g}]"
