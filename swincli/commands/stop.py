"""`swincli stop`: asks the session of a run folder to save and end, on any machine that shares the disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swincli.commands.typer_command import Result, command

if TYPE_CHECKING:
    from swincli.console import Console
    from swincli.training.logging.observed_run import ObservedRun, RunObserver
    from swincli.training.run.session import Session

LOOK_SECONDS = 0.5  # between two looks at the folder
IMPATIENT_SECONDS = 60.0  # until a request that nobody has heard is told


@dataclass(frozen=True, kw_only=True)
class StopCommandRequest:
    """The options of `swincli stop`: which run, and whether to wait."""

    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, also of a run on another machine.")]
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask, and do not wait until the run has ended.")] = False

    def check(self) -> None:
        """Check nothing; the folder is read when the run is asked."""


@command(StopCommandRequest)
def stop(request: StopCommandRequest, console: Console) -> Result:
    """Ask a run to finish its step, save and end, as SIGTERM does; wait until it has ended.

    The request is a file in the run folder, so the run may be on another machine that shares the disk. The same
    `swincli train` goes on from there.
    """
    return run(request, console)


def run(request: StopCommandRequest, console: Console) -> Result:
    """Ask the run's session to stop and wait for it.

    Raises:
        TrainingError: there is no run in the folder, no session runs it, or it ended without saving.
        ResourceError: the request cannot be written.
    """
    from swincli.errors import TrainingError
    from swincli.training.logging.observed_run import RunObserver
    from swincli.training.run.stop_file import request_stop

    observer = RunObserver(request.run)
    observed = observer.look()
    session = observed.session
    if session is None or not observed.is_running:
        raise TrainingError(
            f"{request.run}: is not running; {observed.words}",
            "Start it with `swincli train`; the same command goes on from the last save.",
        )
    asked = request_stop(request.run, session)
    console.say(f"asked {session} to save and end")
    if request.no_wait:
        return Result(_facts(observed, session, ended=False), [str(request.run)])
    try:
        observed = _wait(observer, observed, session, asked, console)
    except KeyboardInterrupt:
        console.say(f"not waiting any longer; the request stays, and the run ends after its step. It is {asked}")
        return Result(_facts(observed, session, ended=False), [str(request.run)])
    asked.unlink(missing_ok=True)
    if observed.state == "killed":
        raise TrainingError(f"{request.run}: {observed.words}", "The same `swincli train` goes on from the last save.")
    return Result(_facts(observed, session, ended=True), [f"{request.run}: {observed.words}"])


def _wait(observer: RunObserver, observed: ObservedRun, session: Session, asked: Path, console: Console) -> ObservedRun:
    """Wait until the session no longer has the lock; returns how the run stands then."""
    started, heard, warned = time.monotonic(), False, False
    while observed.session is not None and observed.session.id == session.id and observed.is_running:
        if not heard and not asked.exists():
            heard = True
            console.say("it saves")
        if not warned and not heard and time.monotonic() - started > IMPATIENT_SECONDS:
            warned = True
            console.say("not heard yet: a step or a save can take minutes. Ctrl-C ends the waiting, not the request")
        time.sleep(LOOK_SECONDS)
        observed = observer.look()
    return observed


def _facts(observed: ObservedRun, session: Session, *, ended: bool) -> dict[str, object]:
    return {
        "run": str(observed.path),
        "host": session.host,
        "pid": session.pid,
        "ended": ended,
        "images_seen": observed.images_seen,
        "total": observed.total,
        "finished": observed.state == "finished",
    }
