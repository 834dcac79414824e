"""The worker's process seen from the server: started, waited for, spoken to, and noticed when it is gone."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

from swincli.errors import ResourceError, SwincliError
from swincli.view.worker.loop import Message, Opening, run_process

END_SECONDS = 3.0  # to end in good order


class Running(Protocol):
    """What runs the worker's loop: a process, or a thread in tests."""

    @property
    def pid(self) -> int | None:
        """The process."""
        ...

    @property
    def exitcode(self) -> int | None:
        """How it has ended: below 0 by a signal; None while it runs."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        ...

    def terminate(self) -> None:
        """End it."""
        ...


Start = Callable[[Connection, Opening], Running]


def start_process(connection: Connection, opening: Opening) -> Running:
    """Start the worker as a process."""
    context = multiprocessing.get_context("spawn")  # a fork would share the server's sockets and threads
    process = context.Process(target=run_process, args=(connection, opening), name="swincli-view-worker", daemon=True)
    process.start()
    connection.close()  # so that the other end sees when the process is gone
    return process


@dataclass
class Worker:
    """A worker that is ready.

    Attributes:
        connection: The server's end.
        running: Its process.
        facts: What it said of its model; None without one.
    """

    connection: Connection
    running: Running
    facts: Message | None

    def listen(self, heard: Callable[[Message], None], gone: Callable[[str], None]) -> None:
        """Call `heard` for each message and `gone` with the reason at the end, from a thread of its own."""

        def read() -> None:
            while True:
                try:
                    message = self.connection.recv()
                except (EOFError, OSError):
                    self.running.join(END_SECONDS)
                    gone(reason_of_end(self.running.exitcode))
                    return
                heard(message)

        threading.Thread(target=read, name="view-worker-reader", daemon=True).start()

    def end(self) -> None:
        """End the worker."""
        self.running.terminate()
        self.running.join(END_SECONDS)
        self.connection.close()


def open_worker(start: Start, opening: Opening) -> Worker:
    """Start a worker and wait until it is ready.

    Raises:
        SwincliError: it could not open the model, or its process ended.
    """
    here, there = multiprocessing.Pipe()
    running = start(there, opening)
    try:
        first: dict[str, Any] = here.recv()
    except (EOFError, OSError):
        running.join(END_SECONDS)
        raise ResourceError(
            f"the process that opens the model {reason_of_end(running.exitcode)}", "Free some memory."
        ) from None
    except BaseException:  # Ctrl-C while the model is read
        running.terminate()
        raise
    if "error" in first:
        running.join(END_SECONDS)
        raise SwincliError(first["error"], first["hint"])
    return Worker(here, running, first["ready"])


def reason_of_end(code: int | None) -> str:
    """How a process ended, as the end of a sentence."""
    if code is None or code >= 0:
        return "has ended"
    return "was killed, perhaps because memory ran out" if code == -9 else f"was ended by signal {-code}"
