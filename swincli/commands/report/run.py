"""`run`: reads a run, looks at its newest model, and writes the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from swincli.commands.report.request import ReportRequest
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import SwincliError
from swincli.model.files.ancestry import to_notes
from swincli.model.files.model_file import load_model
from swincli.publishing.cautions import cautions_of
from swincli.publishing.examination import Examination, examine
from swincli.publishing.report import is_report, render_markdown, render_page
from swincli.publishing.run_facts import RunFacts, read_facts
from swincli.system.atomic_files import check_writable, write_atomically
from swincli.system.overwrite import check_overwrite


def run(request: ReportRequest, device: torch.device, console: Console) -> Result:
    """Write the page, or print or write the Markdown.

    Args:
        request: Checked options.
        device: Where samples are drawn.
        console: Receives messages, warnings and progress.

    Raises:
        SwincliError: there is no run, or the file cannot be written or is not a report.
    """
    facts = read_facts(request.run, request.base)
    page = request.page
    if page is not None:
        check_overwrite([page], force=request.force, is_own=None if request.markdown else is_report)
        check_writable(page)
    if request.markdown:
        text = render_markdown(facts)
    else:
        text = render_page(facts, _look(facts, request.samples, device, console))
    if page is None:
        return Result(_facts(facts, None) | {"markdown": text}, text.splitlines())
    data = text.encode("utf-8", "backslashreplace")
    write_atomically(page, lambda temporary: temporary.write_bytes(data))
    return Result(_facts(facts, page), [str(page)])


def _look(facts: RunFacts, samples: int, device: torch.device, console: Console) -> Examination | None:
    """Samples of the newest model beside the training images; None, with a warning, if either cannot be opened."""
    if not samples or facts.model is None:
        return None
    try:
        store = Store.open(Path(facts.recipe.data.path or ""))
        return examine(load_model(facts.model, device), store, samples, console)
    except SwincliError as error:
        console.warn(f"{error.message}; the report is without nearest training images and spectrum")
        return None


def _facts(facts: RunFacts, page: Path | None) -> dict[str, Any]:
    return {
        "run": str(facts.path),
        "report": None if page is None else str(page),
        "state": facts.observed.state,
        "images_seen": facts.observed.images_seen,
        "metrics": {row.name: {"value": row.value, "images_seen": row.images_seen} for row in facts.rows},
        "cautions": cautions_of(facts),
        "ancestors": to_notes(facts.ancestors),
    }
