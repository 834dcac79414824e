"""`swincli watch`: the live view of a run, from its folder alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swincli.commands.typer_command import Result, command

if TYPE_CHECKING:
    from swincli.console import Console
    from swincli.training.logging.observed_run import ObservedRun

LOOK_SECONDS = 2.0  # between two looks at the folder


@dataclass(frozen=True, kw_only=True)
class WatchRequest:
    """The options of `swincli watch`: which run, and whether to look only once."""

    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, also of a run on another machine.")]
    once: Annotated[bool, typer.Option("--once", help="Print how the run stands, and end.")] = False

    def check(self) -> None:
        """Check nothing; the folder is read while watching."""


@command(WatchRequest)
def watch(request: WatchRequest, console: Console) -> Result:
    """Show how a run stands: where it runs, how far it is, losses, metrics, and the time that is left.

    It reads the run folder alone, so the run may be on another machine that shares the disk. Ctrl-C ends the view, not
    the run. Without a terminal, a line is printed for each line of the run's stats.jsonl. --json prints one object.
    """
    return run(request, console)


def run(request: WatchRequest, console: Console) -> Result:
    """Watch until the run ends or Ctrl-C; with `once` or in JSON mode, look once.

    Raises:
        TrainingError: there is no run in the folder.
        RecipeError: its recipe cannot be read.
    """
    from swincli.training.logging.observed_run import RunObserver, facts_of

    observer = RunObserver(request.run)
    observed = observer.look()
    if request.once or console.json_mode:
        return Result(facts_of(observed), _lines(observed))
    try:
        if not console.live:
            _print(observed, observer.look, console)
            return Result({}, [])
        observed = _show(observed, observer.look, console)
    except KeyboardInterrupt:  # the usual way to end a view
        return Result({}, [])
    return Result({}, [f"{observed.path}: {observed.words}"])


def _show(observed: ObservedRun, look: Callable[[], ObservedRun], console: Console) -> ObservedRun:
    """The live view on a terminal until the run ends; returns how it stands then."""
    from rich.live import Live

    from swincli.training.logging.live_view import LiveView
    from swincli.training.logging.observed_run import memory_of, status_of

    def view() -> LiveView:
        return LiveView(status_of(observed), memory_of(observed))

    with Live(console=console.stderr, refresh_per_second=2, get_renderable=view):
        while observed.is_running:
            time.sleep(LOOK_SECONDS)
            observed = _look_again(observed, look)
    return observed


def _print(observed: ObservedRun, look: Callable[[], ObservedRun], console: Console) -> None:
    """Without a terminal: a line for every report of the run, and for every change of its state."""
    console.emit({}, _lines(observed))
    while observed.is_running:
        time.sleep(LOOK_SECONDS)
        before, observed = observed, _look_again(observed, look)
        if observed.state != before.state:
            console.emit({}, _lines(observed)[:1])
        if observed.stats[-1:] != before.stats[-1:]:
            console.emit({}, _lines(observed)[1:])


def _look_again(before: ObservedRun, look: Callable[[], ObservedRun]) -> ObservedRun:
    """How the run stands now; if its disk is away for a moment, how it stood, without a sign of life since."""
    from swincli.errors import SwincliError

    try:
        return look()
    except (SwincliError, OSError):
        return replace(before, quiet=before.quiet + LOOK_SECONDS)


def _lines(observed: ObservedRun) -> list[str]:
    """The run's state in words, and its last report as the training prints it."""
    from swincli.training.logging.live_view import status_line
    from swincli.training.logging.observed_run import memory_of, status_of

    return [f"{observed.path}: {observed.words}", status_line(status_of(observed), memory_of(observed))]
