"""Who may talk to the server: checks of Host, Origin and token before anything else, and headers of every answer.

Without a token only this machine is served. A web page of somebody else could still send requests to it, so Host must
be this machine (against DNS rebinding) and Origin must be the page itself (against requests forged across sites).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "swincli-view-{port}"
"""Name of the cookie with the token. Cookies of a host go to all its ports, on each of which may be a view."""
CLOSE_REFUSED = 1008  # WebSocket: policy violation
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]/@\s]+))(?::(\d{1,5}))?")


@dataclass(frozen=True)
class Access:
    """Who may talk to the server.

    Attributes:
        names: Host names that are this server, in small letters.
        any_address: Whether a bare IP address is fine too; an attacker's name never is one.
        token: What a browser must know; None on this machine alone.
    """

    names: frozenset[str]
    any_address: bool
    token: str | None = None

    def knows(self, host: str) -> bool:
        """Whether a Host header names this server; its port does not matter, as it may be forwarded."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = (match[1] or match[2]).lower().rstrip(".")
        return name in self.names or (self.any_address and _is_address(name))

    def is_token(self, text: str) -> bool:
        """Whether a text is the token; the time that it takes does not say how much of it is right."""
        return self.token is not None and hmac.compare_digest(text.encode(), self.token.encode())


def local_access(host: str = "127.0.0.1") -> Access:
    """Access from this machine alone, at a loopback address such as 127.0.0.2."""
    return Access(frozenset({"localhost", "127.0.0.1", "::1", host.lower()}), any_address=False)


def remote_access(host: str, token: str) -> Access:
    """Access from other machines, which need the token: by any of this machine's names, or by address."""
    own = {"localhost", host, socket.gethostname(), socket.getfqdn()}
    return Access(frozenset(name.lower().rstrip(".") for name in own), any_address=True, token=token)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class Guard:
    """ASGI middleware that refuses what must not get in."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": CLOSE_REFUSED, "reason": "refused"})
        else:
            await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Why a request does not get in; None if it does."""
        host, hosts = headers.get("host", ""), headers.getlist("host")
        if len(hosts) != 1 or not self.access.knows(host):
            return PlainTextResponse("Refused: this name is not the one under which swincli view serves.\n", 403)
        if not _is_own(scope, headers, host):
            return PlainTextResponse("Refused: the request comes from another site.\n", 403)
        if self.access.token is None:
            return None
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        if given and self.access.is_token(given[0]) and scope["type"] == "http" and scope["path"] == "/":
            answer = RedirectResponse("/", 303)  # the address bar and the history do not keep the token
            answer.set_cookie(_cookie_name(host), given[0], httponly=True, samesite="strict", path="/")
            return answer
        if self.access.is_token(_cookie(headers.getlist("cookie"), _cookie_name(host))):
            return None
        return PlainTextResponse("Refused: open the address that swincli view printed, with its token.\n", 401)


def _is_own(scope: Scope, headers: Headers, host: str) -> bool:
    """Whether a request comes from the page itself, or from a person who opens the page.

    Browsers say where requests come from. Reading needs no Origin; whatever changes something and WebSockets do.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none") and not (
        scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate" and scope.get("method") == "GET"
    ):
        return False
    if origin is not None:
        return urlsplit(origin).netloc.lower() == host.lower() and urlsplit(origin).scheme in ("http", "https")
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD")


def _cookie_name(host: str) -> str:
    """The name of the cookie by a Host header: its port is the one that the browser knows, also if it is forwarded."""
    match = _HOST.fullmatch(host)
    return COOKIE.format(port=(match[3] if match else None) or 80)


def _cookie(lines: Iterable[str], name: str) -> str:
    for line in lines:
        try:
            found = SimpleCookie(line).get(name)
        except CookieError:
            continue
        if found is not None:
            return found.value
    return ""


def _with_headers(send: Send) -> Send:
    """`send` that adds the headers of every answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if "cache-control" not in headers:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return sending
