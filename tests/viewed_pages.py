"""Pages of `swincli view` in tests: the worker's loop in a thread, and requests as the browser sends them."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import threading
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from PIL import Image

from swincli.view.worker.loop import Opening, serve

HOST = "127.0.0.1:8765"
OWN = {"origin": f"http://{HOST}"}
"""Headers of the page's own requests."""


class ThreadWorker:
    """The worker's loop in a thread, which can be cut off like a killed process."""

    pid = None
    exitcode = -9

    def __init__(self, connection: Connection, opening: Opening) -> None:
        self._end = socket.socket(fileno=os.dup(connection.fileno()))
        self._thread = threading.Thread(target=serve, args=(connection, opening), daemon=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)

    def terminate(self) -> None:
        if self._end.fileno() >= 0:
            self._end.shutdown(socket.SHUT_RDWR)
            self._end.close()


class Page:
    """A page that is open: HTTP by `client`, and the WebSocket."""

    def __init__(self, client: Any, view: Any, workers: list[ThreadWorker]) -> None:
        self.client, self.view, self.workers, self.number = client, view, workers, 0

    def socket(self) -> Any:
        return self.client.websocket_connect(f"ws://{HOST}/api/socket", headers=OWN)

    def ask(self, channel: Any, slot: str = "picture", **request: Any) -> tuple[dict[str, Any], list[bytes]]:
        """Ask for one thing and return its last answer."""
        self.number += 1
        channel.send_json({"slot": slot, "number": self.number, **request})
        while True:
            header, parts = answer_of(channel.receive_bytes())
            if header["number"] == self.number and not header.get("preview") and header.get("last", True):
                return header, parts


def answer_of(content: bytes) -> tuple[dict[str, Any], list[bytes]]:
    (size,) = struct.unpack("<I", content[:4])
    header = json.loads(content[4 : 4 + size])
    parts, at = [], 4 + size
    for length in header["sizes"]:
        parts.append(content[at : at + length])
        at += length
    return header, parts


def no_network(_: Any) -> None:
    """Pictures are compared by their pixels."""


def pixels_of(content: bytes) -> np.ndarray:
    """The pixels of an encoded picture."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def photograph(side: int = 24) -> bytes:
    """A PNG of noise."""
    content = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(content, "PNG")
    return content.getvalue()
