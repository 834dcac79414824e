"""Serving: the port, the address to open, and uvicorn until Ctrl-C."""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from swincli.errors import ResourceError, UsageError, from_os_error
from swincli.view.opened import Opened
from swincli.view.server.guard import local_access, remote_access
from swincli.view.server.worker_process import Start, open_worker, start_process
from swincli.view.worker.loop import Opening

FIRST_PORT, PORTS = 8765, 50
MOST_MESSAGE = 4 * 2**20  # bytes of a WebSocket message from the page


@dataclass(frozen=True)
class Place:
    """Where to serve.

    Attributes:
        host: The address to listen at.
        port: Its port; None for the next free one.
        browser: Whether to open a browser.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    browser: bool = True


def bind(place: Place) -> socket.socket:
    """A socket at the wanted port, or at the first free one.

    Raises:
        UsageError: the port is taken, or the address is not this machine's.
        ResourceError: no port is free, or the system refuses.
    """
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(place.host, None, type=socket.SOCK_STREAM)
    except OSError:
        raise UsageError(f"--host {place.host}: no such address", "127.0.0.1 is this machine alone.") from None
    for port in range(FIRST_PORT, FIRST_PORT + PORTS) if place.port is None else [place.port]:
        listening = socket.socket(family, kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, _bind_option(), 1)
            listening.bind((address[0], port, *address[2:]))
            listening.listen(128)
            return listening
        except OSError as error:
            listening.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise UsageError(f"--host {place.host}: not an address of this machine") from None
            if error.errno not in _taken():
                raise from_os_error(error, f"listening at {place.host} port {port}") from error
    if place.port is not None:
        raise UsageError(f"--port {place.port}: in use by another program", "Leave --port out for the next free one.")
    raise ResourceError(f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all in use", "Give another --port.")


def _bind_option() -> int:
    """The option with which a port that was closed just now can be taken, and one in use cannot.

    On Windows, SO_REUSEADDR would let two programs have one port.
    """
    return int(getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR))


def _taken() -> tuple[int, ...]:
    """Errors of a port that is in use; Windows denies access to one that another program has for itself."""
    return (errno.EADDRINUSE, errno.EACCES) if os.name == "nt" else (errno.EADDRINUSE,)


def is_local(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(place: Place, listening: socket.socket, token: str | None) -> str:
    """The address to open."""
    host = place.host if place.host not in ("0.0.0.0", "::") else socket.gethostname()
    port = listening.getsockname()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/" + (f"?token={token}" if token else "")


def serve(
    opened: Opened, opening: Opening, place: Place, say: Callable[[str], None], start: Start = start_process
) -> None:
    """Serve until Ctrl-C.

    Args:
        opened: What was opened.
        opening: What the worker starts with.
        place: Where to serve.
        say: Called with the address to open, when it answers.
        start: How to start the worker.

    Raises:
        SwincliError: the model cannot be opened, or the port is taken.
    """
    import uvicorn

    from swincli.view.server.app import View, make_app

    token = None if is_local(place.host) else secrets.token_urlsafe(32)
    access = local_access(place.host) if token is None else remote_access(place.host, token)
    with bind(place) as listening:
        worker = open_worker(start, opening)
        view = View(opened, worker, start, opening)
        address = address_of(place, listening, token)

        class Server(uvicorn.Server):
            """Tells the address when it answers."""

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                say(address)
                if place.browser:
                    with suppress(Exception):  # without a screen there is no browser to open
                        webbrowser.open(address)

        config = uvicorn.Config(
            make_app(view, access),
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="on",
            ws="websockets-sansio",
            ws_max_size=MOST_MESSAGE,
            timeout_graceful_shutdown=1,
        )
        try:
            Server(config).run(sockets=[listening])
        finally:
            worker.end()
