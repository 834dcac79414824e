"""The page's WebSocket: pictures that follow the sliders, and news.

The page sends {"slot", "number", "kind", ...}. A slot shows one thing, such as the large picture. A request waits until
the one before it in its slot is answered; what is overtaken by a newer one meanwhile is dropped. Large models answer a
picture several times: previews come first.

An answer with pictures is binary: the length of a JSON header in four bytes, the header, and the pictures.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from swincli.errors import UsageError
from swincli.view.server import requests
from swincli.view.server.broker import CALL, GRID, PICTURE, Broker, OvertakenError, Ticket
from swincli.view.worker.loop import Message, words_of

MOST_SLOTS = 16

Answer = tuple[dict[str, Any], list[bytes]]


@dataclass
class Slot:
    """Requests of one thing on the page.

    Attributes:
        number: Of the newest request.
        waiting: The newest request, until it is begun; None if it was.
        ticket: What waits for the worker, or is in its hands.
        wake: Set when there is a new request.
    """

    number: int = -1
    waiting: dict[str, Any] | None = None
    ticket: Ticket | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Channel:
    """One open page.

    Args:
        socket: Its WebSocket, accepted.
        broker: The queue before the worker.
    """

    def __init__(self, socket: WebSocket, broker: Broker) -> None:
        self._socket, self._broker = socket, broker
        self._slots: dict[str, Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        """Answer until the page is closed."""
        try:
            while True:
                await self._take(await self._socket.receive_text())
        except (WebSocketDisconnect, KeyError, RuntimeError):  # closed; a binary message; closed while being sent to
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            for slot in self._slots.values():
                if slot.ticket is not None:
                    slot.ticket.drop()

    async def tell(self, news: Message) -> None:
        """Send news; a page that is gone does not matter."""
        with suppress(Exception):
            async with self._sending:
                await self._socket.send_text(json.dumps(news))

    async def _take(self, text: str) -> None:
        """Put a request into its slot, and drop what it overtakes."""
        try:
            request = requests.read_json(text)
            name, number = request.get("slot"), request.get("number")
            if not isinstance(name, str) or type(number) is not int or request.get("kind") not in STAGES:
                raise UsageError("request: slot, number and kind are needed")
            if name not in self._slots and len(self._slots) >= MOST_SLOTS:
                raise UsageError("request: too many slots")
        except UsageError as error:
            await self.tell({"event": "error", "error": error.message, "hint": error.hint})
            return
        if name not in self._slots:
            self._slots[name] = Slot()
            task = asyncio.ensure_future(self._work(name, self._slots[name]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        slot = self._slots[name]
        if number <= slot.number:  # an older one cannot overtake
            return
        slot.number, slot.waiting = number, request
        if slot.ticket is not None:
            slot.ticket.drop()
        slot.wake.set()

    async def _work(self, name: str, slot: Slot) -> None:
        """Answer the requests of a slot, always the newest one."""
        while True:
            await slot.wake.wait()
            slot.wake.clear()
            request, slot.waiting = slot.waiting, None
            if request is None:
                continue
            about = {"slot": name, "number": request["number"], "kind": request["kind"]}
            try:
                async for header, parts in STAGES[request["kind"]](self._broker, slot, request):
                    await self._send({**about, **header}, parts)
                    if slot.waiting is not None:
                        break
            except OvertakenError:
                pass
            except Exception as error:
                await self._send({**about, **words_of(error)}, [])

    async def _send(self, header: dict[str, Any], parts: list[bytes]) -> None:
        head = json.dumps({**header, "sizes": [len(part) for part in parts]}).encode()
        with suppress(WebSocketDisconnect, RuntimeError):
            async with self._sending:
                await self._socket.send_bytes(b"".join([struct.pack("<I", len(head)), head, *parts]))


async def _ask(broker: Broker, slot: Slot, message: Message, priority: int) -> Any:
    slot.ticket = broker.put(message, priority)
    try:
        return await slot.ticket.answer
    finally:
        slot.ticket = None


def _drawing(read: Callable[[dict[str, Any]], Message]) -> Callable[..., AsyncIterator[Answer]]:
    """The stages of a picture: previews as long as the whole one takes long, then the whole one."""

    async def stages(broker: Broker, slot: Slot, request: dict[str, Any]) -> AsyncIterator[Answer]:
        message, shown = read(request), 0
        while shown is not None:
            drawn = await _ask(broker, slot, {**message, "above": shown}, PICTURE)
            content, shown = drawn.pop("content"), drawn.pop("levels")
            yield {**drawn, "preview": shown is not None}, [content]

    return stages


async def _tiles(broker: Broker, slot: Slot, request: dict[str, Any]) -> AsyncIterator[Answer]:
    """Some small pictures after another: so many at once that a large picture never waits long behind them."""
    message = requests.tiles(request)
    waiting = message["seeds"]
    while waiting:
        at_once = (broker.facts or {}).get("tiles", 1)
        seeds, waiting = waiting[:at_once], waiting[at_once:]
        drawn = await _ask(broker, slot, {**message, "seeds": seeds}, GRID)
        media, parts = zip(*((media, part) for part, media in drawn["tiles"]), strict=True)
        if broker.facts is not None:
            broker.facts["tiles"] = drawn["at_once"]
        yield {"seeds": seeds, "media": list(media), "last": not waiting}, list(parts)


async def _attention(broker: Broker, slot: Slot, request: dict[str, Any]) -> AsyncIterator[Answer]:
    yield await _ask(broker, slot, requests.attention(request), CALL), []


async def _directions(broker: Broker, slot: Slot, request: dict[str, Any]) -> AsyncIterator[Answer]:
    yield await _ask(broker, slot, requests.directions(request), CALL), []


STAGES: dict[str, Callable[[Broker, Slot, dict[str, Any]], AsyncIterator[Answer]]] = {
    "picture": _drawing(requests.picture),
    "walk": _drawing(requests.walk_frame),
    "tiles": _tiles,
    "attention": _attention,
    "directions": _directions,
}
"""What the page can ask for, by kind: the answers, one after another."""
