"""The queue before the worker: one message at a time, urgent ones first, overtaken ones dropped; and its restarts."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from swincli.errors import SwincliError
from swincli.view.server.worker_process import Start, Worker, open_worker
from swincli.view.worker.loop import Message, Opening

PICTURE, CALL, GRID, LONG = range(4)
"""Priorities. Long work has a line of its own: the worker answers others between its steps."""
RESTARTS, RESTART_SECONDS = 3, 60.0  # so many deaths within so long, and it is not started again

Progress = Callable[[Message], None]


class OvertakenError(Exception):
    """A newer request of the same slot came before the worker began with this one."""


@dataclass(order=True)
class Ticket:
    """A message that waits for the worker or is in its hands."""

    priority: int
    number: int
    message: Message = field(compare=False)
    answer: asyncio.Future[Any] = field(compare=False)
    progress: Progress | None = field(compare=False, default=None)
    started: bool = field(compare=False, default=False)

    def drop(self) -> None:
        """Drop the message, unless the worker has begun with it."""
        if not self.started and not self.answer.done():
            self.answer.set_exception(OvertakenError())


class Broker:
    """Passes messages to the worker and answers back.

    Attributes:
        facts: What the worker said of its model; None without one.
        codes: Codes that the worker keeps, by name, so that a new worker gets them again.
        trouble: Why there is no worker at the moment; None if there is one.
    """

    def __init__(self, worker: Worker, start: Start, opening: Opening, tell: Callable[[Message], None]) -> None:
        """`tell` is called with news of the worker for all pages."""
        self.facts = worker.facts
        self.codes: dict[str, Any] = {}
        self.trouble: str | None = None
        self._worker: Worker | None = worker
        self._start, self._opening, self._tell = start, opening, tell
        self._numbers, self._waiting = itertools.count(1), list[Ticket]()
        self._long_waiting: list[Ticket] = []
        self._busy: Ticket | None = None
        self._long: Ticket | None = None
        self._deaths: list[float] = []
        self._ended = self._given_up = False

    def begin(self) -> None:
        """Listen to the worker; from the event loop."""
        assert self._worker is not None
        self._listen(self._worker)

    def end(self) -> None:
        """End the worker."""
        self._ended = True
        if self._worker is not None:
            self._worker.end()

    def put(self, message: Message, priority: int, progress: Progress | None = None) -> Ticket:
        """Queue a message; the ticket's `answer` becomes the worker's answer, or its error."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_see)
        number = next(self._numbers)
        ticket = Ticket(priority, number, {**message, "id": number}, answer, progress)
        if self._given_up:
            answer.set_exception(SwincliError(self.trouble or ""))
            return ticket
        heapq.heappush(self._long_waiting if priority == LONG else self._waiting, ticket)
        self._pump()
        return ticket

    async def ask(self, message: Message, priority: int = CALL, progress: Progress | None = None) -> Any:
        """Queue a message and wait for the answer.

        Raises:
            SwincliError: the worker cannot do it.
        """
        return await self.put(message, priority, progress).answer

    def cancel(self, ticket: Ticket) -> None:
        """Cancel long work, or drop it if it waits."""
        if ticket is self._long and self._worker is not None:
            self._send({"id": 0, "kind": "cancel", "what": ticket.number})
        else:
            ticket.drop()

    async def open(self, path: str) -> Message:
        """Open another model, or the same one again.

        Raises:
            SwincliError: it cannot be opened; the one before stays.
        """
        if self._worker is None:
            self._opening = replace(self._opening, model=path)
            self._deaths.clear()
            await self._restart()
            if self.trouble is not None:
                raise SwincliError(self.trouble, "See the terminal in which `swincli view` was started.")
        else:
            self.facts = await self.ask({"kind": "open", "path": path, "codes": self.codes})
            self._opening = replace(self._opening, model=path)
        self._tell({"event": "model", "facts": self.facts})
        return self.facts or {}

    def _pump(self) -> None:
        if self._worker is None:
            return
        if self._busy is None and (ticket := _next(self._waiting)):
            self._busy = ticket
            self._begin_with(ticket)
        if self._long is None and (ticket := _next(self._long_waiting)):
            self._long = ticket
            self._begin_with(ticket)

    def _begin_with(self, ticket: Ticket) -> None:
        ticket.started = True
        self._send(ticket.message)

    def _send(self, message: Message) -> None:
        assert self._worker is not None
        with suppress(OSError):  # its end is noticed by the thread that listens
            self._worker.connection.send(message)

    def _listen(self, worker: Worker) -> None:
        loop = asyncio.get_running_loop()

        def call(function: Callable[[Any], None]) -> Callable[[Any], None]:
            def from_thread(value: Any) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(function, value)

            return from_thread

        worker.listen(call(self._heard), call(self._gone))

    def _heard(self, message: Message) -> None:
        ticket = next((one for one in (self._busy, self._long) if one and one.number == message["id"]), None)
        if ticket is None:
            return
        if "progress" in message:
            if ticket.progress is not None:
                ticket.progress(message["progress"])
            return
        if ticket is self._busy:
            self._busy = None
        else:
            self._long = None
        if not ticket.answer.done():
            if "error" in message:
                ticket.answer.set_exception(SwincliError(message["error"], message["hint"]))
            else:
                ticket.answer.set_result(message["done"])
        self._pump()

    def _gone(self, reason: str) -> None:
        """Fail what the worker had in its hands, and start another one."""
        if self._ended:
            return
        self._worker, self.trouble = None, f"The process that draws {reason}. It is started again."
        for ticket in (self._busy, self._long):
            if ticket is not None and not ticket.answer.done():
                ticket.answer.set_exception(SwincliError(f"the process that draws {reason}", "Try it again."))
        self._busy = self._long = None
        self._tell({"event": "worker", "trouble": self.trouble})
        self._task = asyncio.ensure_future(self._restart())

    async def _restart(self) -> None:
        now, self._given_up = time.monotonic(), False
        self._deaths = [death for death in self._deaths if now - death < RESTART_SECONDS] + [now]
        if len(self._deaths) > RESTARTS:
            self._give_up("The process that draws ends again and again. Reload the model, or start swincli view again.")
            return
        try:
            worker = await asyncio.to_thread(open_worker, self._start, self._opening)
            self._worker, self.facts, self.trouble = worker, worker.facts, None
        except SwincliError as error:
            self._give_up(f"The process that draws cannot be started again: {error.message}.")
            return
        self._listen(worker)
        if self.codes and self.facts is not None:
            self.put({"kind": "open", "path": self.facts["path"], "codes": self.codes}, PICTURE)
        self._tell({"event": "worker", "trouble": None})
        self._pump()

    def _give_up(self, trouble: str) -> None:
        self.trouble, self._given_up = trouble, True
        self._tell({"event": "worker", "trouble": trouble})
        for ticket in [*self._waiting, *self._long_waiting]:
            if not ticket.answer.done():
                ticket.answer.set_exception(SwincliError(trouble))
        self._waiting.clear()
        self._long_waiting.clear()


def _see(answer: asyncio.Future[Any]) -> None:
    """Look at an error, which nobody else may do after the page has left; asyncio would print it."""
    if not answer.cancelled():
        answer.exception()


def _next(waiting: list[Ticket]) -> Ticket | None:
    """The most urgent ticket that nobody has dropped."""
    while waiting:
        ticket = heapq.heappop(waiting)
        if not ticket.answer.done():
            return ticket
    return None
