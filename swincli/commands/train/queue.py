"""Several runs one after another, each in a process of its own: rehearsed first, then started, then told as a table."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

import torch
from rich.table import Table
from rich.text import Text

from swincli.commands.train.request import Entry, TrainRequest
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.errors import SwincliError, TrainingError, from_os_error
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.model.files.find_checkpoint import images_in_name
from swincli.recipe import dump_recipe
from swincli.system.process_limits import explain_limit
from swincli.training.rehearsal import Rehearsal, rehearse
from swincli.training.run.folder import RunFolder
from swincli.training.run.lock import RunLock
from swincli.training.run.signals import TIME_LIMIT, StopRequest, catch_stop_signals, seconds_since_start
from swincli.units import format_items, format_lines

State = Literal["finished", "failed", "stopped", "not started"]
COLOURS = {"finished": "green", "failed": "red", "stopped": "yellow", "not started": "yellow"}

LOCK_SECONDS = 60.0  # a run whose queue was killed saves first
POLL_SECONDS = 0.2
LAST_SECONDS = 2.0  # for a run to end after a second Ctrl-C
SHORTEST = 30.0  # seconds that must be left of --max-time to start another run


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        recipe: The recipe as it was given.
        run: The run folder.
        state: How the run ended in this queue.
        images_seen, total: Images shown so far, and `train.total`.
        hours: Hours that it took in this queue.
        reason: Why it did not finish, or that it had been finished; empty otherwise.
        model: The last model; None if there is none.
    """

    recipe: str
    run: str
    state: State
    images_seen: int
    total: int
    hours: float = 0.0
    reason: str = ""
    model: str | None = None


def run_queue(request: TrainRequest, device: torch.device, console: Console) -> Result:
    """Rehearse all runs, then train them one after another.

    Args:
        request: Checked options, with several recipes.
        device: Device of the networks.
        console: Receives messages and the table.

    Raises:
        SwincliError: a run could not start. None was started.
    """
    rehearsals = rehearse_all(request, device, console)
    console.say(f"queued: {', '.join(entry.name for entry in request.entries)}")
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="swincli-queue-") as folder,
        catch_stop_signals(Console(quiet=True)) as stop,
    ):
        late = False
        for number, (entry, rehearsal) in enumerate(zip(request.entries, rehearsals, strict=True), 1):
            console.say(f"{number} of {len(rehearsals)}: {entry.name}, {entry.folder}")
            outcome = _passed_over(entry, rehearsal, stop, late=late)
            if outcome is None:
                outcome = train_entry(entry, request, device, Path(folder), stop)
                late = outcome.reason == TIME_LIMIT or _time_left(request) < SHORTEST
            console.say(f"{entry.name}: {outcome.state}{outcome.reason and f' ({outcome.reason})'}")
            outcomes.append(outcome)
    console.say("")
    console.show(outcome_table(outcomes))
    return result_of(outcomes)


def rehearse_all(request: TrainRequest, device: torch.device, console: Console) -> list[Rehearsal]:
    """Check that every run can start: recipe, networks, images, memory, disk and run folder.

    Raises:
        SwincliError: lists all runs that cannot.
    """
    found: list[Rehearsal] = []
    failed: list[tuple[Entry, SwincliError]] = []
    for entry in request.entries:
        try:
            found.append(_rehearse(entry, request, device, console))
        except SwincliError as error:
            failed.append((entry, error))
    if failed:
        lines = [f"{entry.name}: {error.message}" for entry, error in failed]
        number = f"{len(failed)} of {format_items(len(request.entries), 'run')}"
        raised = SwincliError(f"{number} cannot start, so none was started\n{format_lines(lines)}", failed[0][1].hint)
        raised.exit_code = max(error.exit_code for _, error in failed)
        raise raised
    return found


def _rehearse(entry: Entry, request: TrainRequest, device: torch.device, console: Console) -> Rehearsal:
    """Rehearse one run. The weights of the detector, if it measures, are downloaded now."""
    _check_lock(entry.folder, console)
    entry.warn(console)
    found = rehearse(entry.recipe, entry.folder, device, console, resume=request.resume == "auto")
    if entry.recipe.evaluate.every and not found.finished:
        find_detector_weights(None, console)
    return found


def _check_lock(folder: Path, console: Console) -> None:
    """Take and release the lock of a run folder; wait for a process that may be about to end.

    Raises:
        SwincliError: another process holds it, or the folder cannot be written.
    """
    end, told = time.monotonic() + LOCK_SECONDS, False
    while True:
        lock = RunLock(folder)
        try:
            lock.acquire()
        except TrainingError as error:
            if time.monotonic() > end:
                raise
            if not told:
                console.say(f"{error.message}: waiting up to {LOCK_SECONDS:.0f} seconds for its end")
            told = True
            time.sleep(POLL_SECONDS)
        else:
            lock.release()
            return


def _time_left(request: TrainRequest) -> float:
    """Seconds left of `--max-time`; infinity for no limit."""
    return math.inf if request.max_seconds is None else request.max_seconds - seconds_since_start()


def _passed_over(entry: Entry, rehearsal: Rehearsal, stop: StopRequest, *, late: bool) -> Outcome | None:
    """The outcome of a run that is not started: it was finished before, or the queue stops. None: start it."""
    seen, total = rehearsal.images_seen, entry.recipe.train.total
    if rehearsal.finished:
        model = str(RunFolder(entry.folder).model(seen))
        return Outcome(entry.name, str(entry.folder), "finished", seen, total, reason="was finished", model=model)
    reason = stop.reason or (TIME_LIMIT if late else None)
    return Outcome(entry.name, str(entry.folder), "not started", seen, total, reason=reason) if reason else None


def train_entry(
    entry: Entry, request: TrainRequest, device: torch.device, temporary: Path, stop: StopRequest
) -> Outcome:
    """Train a run in a process of its own and wait for its end.

    Args:
        entry: The run.
        request: The options of the queue.
        device: Device of the networks.
        temporary: Where the recipe is written as it was rehearsed.
        stop: Asks the run to save and stop.
    """
    recipe = temporary / f"{entry.folder.name}.toml"
    started = time.monotonic()
    try:
        recipe.write_text(dump_recipe(entry.recipe), encoding="utf-8")
        with tempfile.TemporaryFile() as output:
            code = _wait(child_command(recipe, entry, request, device), output, stop)
            output.seek(0)
            told = _json_object(output.read())
    except OSError as error:  # no room, or no more processes; the next run may have better luck
        explained = explain_limit(error) or from_os_error(error, str(error.filename or "starting a process"))
        code, told = 1, {"error": explained.message}
    return outcome_of(entry, code, told, (time.monotonic() - started) / 3600, stop.reason)


def child_command(recipe: Path, entry: Entry, request: TrainRequest, device: torch.device) -> list[str]:
    """The command line of the process that trains a run."""
    options = ["--out", str(entry.folder), "--device", device.type, "--resume", request.resume, "--json", "--queued"]
    options += [option for option in ("--quiet", "--debug") if option in request.given]
    if request.max_seconds is not None:
        options += ["--max-time", f"{max(_time_left(request), 1):.0f}s"]
    return [sys.executable, "-m", "swincli", "train", str(recipe), *options]


def _wait(command: list[str], output: IO[bytes], stop: StopRequest) -> int:
    """Run a process until its end and return its exit code. A stop request closes its standard input."""
    with _child(command, output) as process:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(POLL_SECONDS)
            if stop.reason is not None and process.stdin is not None and not process.stdin.closed:
                process.stdin.close()


@contextmanager
def _child(command: list[str], output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive the block: after an error, such as a second Ctrl-C, it is killed.

    Until it trains, it ignores the terminal's Ctrl-C, which would interrupt its imports. The end of its input stops it.
    """
    with _ignored_interrupts():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output)
    try:
        yield process
    except BaseException:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LAST_SECONDS)
        process.kill()
        raise
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C in the block; processes that start in it inherit this (not on Windows)."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _json_object(output: bytes) -> dict[str, Any]:
    """The last line of a process's output as an object; empty if it is none."""
    with suppress(ValueError, IndexError):
        value = json.loads(output.splitlines()[-1])
        return value if isinstance(value, dict) else {}
    return {}


def outcome_of(entry: Entry, code: int, told: dict[str, Any], hours: float, asked: str | None) -> Outcome:
    """What became of a run.

    Args:
        entry: The run.
        code: Exit code of its process; below 0: minus the number of the signal that killed it.
        told: The JSON object that it printed; empty if it was killed.
        hours: Hours that it took.
        asked: Why the queue asked it to stop; None if it did not.
    """
    folder = RunFolder(entry.folder)
    seen = told.get("images_seen", newest_images_seen(folder))
    model = folder.model(seen)
    state: State = "failed"
    if code == 0:
        state = "finished"
    elif code == 3 or (asked and "error" not in told):
        state = "stopped"
    reasons = {"finished": "", "stopped": told.get("reason") or asked or "", "failed": told.get("error") or _why(code)}
    return Outcome(
        recipe=entry.name,
        run=str(entry.folder),
        state=state,
        images_seen=seen,
        total=entry.recipe.train.total,
        hours=hours,
        reason=reasons[state],
        model=str(model) if model.exists() else None,
    )


def newest_images_seen(folder: RunFolder) -> int:
    """Images seen at the newest state of a run, by its name; 0 without one."""
    return max((images_in_name(path) or 0 for path in folder.states()), default=0)


def _why(code: int) -> str:
    """An exit code without a message, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}" + (", perhaps because memory ran out" if name == "SIGKILL" else "")


def outcome_table(outcomes: list[Outcome]) -> Table:
    """The table that a queue prints at its end."""
    table = Table("recipe", "run", "state", "images", "hours", "reason", box=None, pad_edge=False)
    for each in outcomes:
        images = f"{each.images_seen:,} of {each.total:,}"
        hours = f"{each.hours:.2f}" if each.hours else "-"
        state = Text(each.state, COLOURS[each.state])
        table.add_row(Text(each.recipe), Text(each.run), state, images, hours, Text(each.reason))
    return table


def result_of(outcomes: list[Outcome]) -> Result:
    """What the queue prints: with `--json` all runs, otherwise the models of the finished ones."""
    states = {outcome.state for outcome in outcomes}
    facts = {"finished": states == {"finished"}, "runs": [asdict(outcome) for outcome in outcomes]}
    lines = [outcome.model for outcome in outcomes if outcome.state == "finished" and outcome.model]
    return Result(facts, lines, failed="failed" in states, stopped=bool(states & {"stopped", "not started"}))
