"""`run.on_event`: a shell command that is told what becomes of the run, such as one that sends a message."""

from __future__ import annotations

import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, Literal

import psutil

from swincli.console import Console
from swincli.units import format_json

Event = Literal["test", "started", "saved", "best", "stopped", "finished", "failed"]
TIMEOUT = 60.0  # seconds for one event
_LAST_WORDS = 300  # characters of the command's output in a warning
_POLL = 0.05
_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE")


class EventCommand:
    """Runs the command for one event after the other, in a thread. Whatever it does costs one warning, never the run.

    Args:
        command: For the system's shell: `sh -c`, or `cmd /c` on Windows.
        console: Where the warning goes.
        timeout: Seconds after which the command and all that it has started are killed.
    """

    def __init__(self, command: str, console: Console, timeout: float = TIMEOUT) -> None:
        self._command, self._console, self._timeout = command, console, timeout
        self._warned = False
        self._events: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="on-event", daemon=True)
        self._thread.start()

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Run the command soon, with `facts` as JSON on its stdin; does not wait."""
        self._events.put(facts)

    def close(self) -> None:
        """Wait for the events that were told, twice the timeout at most."""
        self._events.put(None)
        self._thread.join(2 * self._timeout)

    def _work(self) -> None:
        while (facts := self._events.get()) is not None:
            try:
                problem = run_command(self._command, format_json(facts) + "\n", self._timeout)
            except Exception as error:  # no error of the command may reach the run
                problem = str(error)
            if problem and not self._warned:
                self._warned = True
                self._console.warn(f'run.on_event: event "{facts.get("event")}": {problem}; training goes on')


def run_command(command: str, text: str, timeout: float) -> str | None:
    """Run a shell command with a text on stdin. Its output is dropped.

    Returns:
        What went wrong, with the end of the output; None if the exit code is 0.
    """
    with tempfile.TemporaryFile() as stdin:
        stdin.write(text.encode())
        stdin.seek(0)
        process = subprocess.Popen(
            command,
            shell=True,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if not _is_of_torchrun(name)},
            start_new_session=True,  # Ctrl-C in the terminal is for the training
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
        )
    assert process.stdout is not None
    output = _LastWords(process.stdout)
    end = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < end:
        time.sleep(_POLL)
    if process.returncode is None:
        _kill(process)
        return f"killed after {timeout:g} s"
    if process.returncode == 0:
        return None
    words = output.read()
    return f"exit code {process.returncode}{': ' if words else ''}{words}"


class _LastWords:
    """Reads a pipe to its end in a thread and keeps its last bytes; a command that prints for ever fills nothing."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._kept = pipe, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def read(self) -> str:
        """The last line. A grandchild may hold the pipe open, so this waits for a second at most."""
        self._thread.join(1.0)
        lines = self._kept.decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def _read(self) -> None:
        with suppress(OSError, ValueError), self._pipe:
            while chunk := os.read(self._pipe.fileno(), 2**16):
                self._kept = (self._kept + chunk)[-_LAST_WORDS:]


def _is_of_torchrun(name: str) -> bool:
    """Whether a variable would make a `swincli` in the command believe that it is one of torchrun's processes."""
    return name in _OF_TORCHRUN or name.startswith(("MASTER_", "TORCHELASTIC_"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything below it."""
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    with suppress(OSError):
        process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
