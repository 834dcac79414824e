"""`swincli train --detach`: the same command in a process of its own session, which outlives the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swincli.errors import SwincliError, from_os_error
from swincli.training.run.session import Session, find_session

LOG = "train.log"
STOPPED = 3  # exit code of a run that was stopped in good order, such as by a short --max-time
_LOOK_SECONDS = 0.2
# Windows: no console to be closed, and no Ctrl-C from this one.
_WINDOWS_FLAGS = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


@dataclass(frozen=True)
class Detached:
    """A training in the background.

    Attributes:
        log: File to which its output is appended.
        session: Its session; None if it has already ended, in order.
        output: What it has written to the log by then.
    """

    log: Path
    session: Session | None
    output: str


def train_detached(arguments: Sequence[str], folder: Path) -> Detached:
    """Start `swincli ARGUMENTS` detached; wait until the first steps of its run have been made or it has ended.

    Args:
        arguments: The command with its options, such as ["train", "quickstart"].
        folder: The run folder; it gets the log.

    Raises:
        SwincliError: the command failed; with its own message and hint.
        ResourceError: the log cannot be written.
    """
    log, before, is_new = folder / LOG, find_session(folder), not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            start = output.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "swincli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=os.name == "posix",
                creationflags=_WINDOWS_FLAGS,
                close_fds=True,
            )
    except OSError as error:
        raise from_os_error(error, f"writing {log}") from error
    session = _wait(process, folder, before)
    said = _read(log, start)
    if session is not None:
        process.returncode = 0  # it goes on without us, so there is nothing to wait for and to warn about
    if session is None and process.returncode not in (0, STOPPED):
        if is_new:
            _remove(log)
        raise error_in(said, f"{log}: training ended with exit code {process.returncode}", process.returncode)
    return Detached(log, session, said)


def error_in(output: str, otherwise: str, exit_code: int = 1) -> SwincliError:
    """The last error that a swincli command has printed, with its hint; else one that says `otherwise`."""
    _, found, error = output.rpartition("error: ")
    message, _, hint = error.partition("\n\nhint: ")
    failure = SwincliError(message.strip(), hint.strip() or None) if found else SwincliError(otherwise, output.strip())
    failure.exit_code = exit_code if exit_code in (1, 2) else 1
    return failure


def _wait(process: subprocess.Popen[bytes], folder: Path, before: Session | None) -> Session | None:
    """The new session once it gives a second sign of life, which it does after its first step; None if it ended."""
    first: Session | None = None
    while process.poll() is None:
        found = find_session(folder)
        if found is not None and found.is_alive and (before is None or found.id != before.id):
            if first is not None and found.seen != first.seen:
                return found
            first = first if first is not None and first.id == found.id else found
        time.sleep(_LOOK_SECONDS)
    return None


def _read(log: Path, start: int) -> str:
    with suppress(OSError), log.open("rb") as file:
        file.seek(start)
        return file.read().decode("utf-8", "replace")
    return ""


def _remove(log: Path) -> None:
    """Remove the log of a run that did not begin, and its folders if they are empty."""
    with suppress(OSError):
        log.unlink()
        log.parent.rmdir()
