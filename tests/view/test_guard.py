"""Who gets in: Host, Origin, token; and the headers of every answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect
from viewed_pages import HOST

from swincli.view.server.guard import HEADERS, local_access, remote_access


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8765", True),
        ("localhost", True),
        ("localhost:9000", True),  # forwarded by ssh
        ("[::1]:8765", True),
        ("LOCALHOST.:1", True),
        ("evil.example:8765", False),
        ("127.0.0.1.evil.example", False),
        ("192.168.1.5:8765", False),
        ("localhost@evil.example", False),
        ("", False),
    ],
)
def test_a_name_of_somebody_else_is_refused(host: str, known: bool) -> None:
    assert local_access().knows(host) == known


def test_from_other_machines_any_address_is_fine_but_no_foreign_name() -> None:
    access = remote_access("gpu.example", "token")
    assert [access.knows(host) for host in ("gpu.example:1", "10.0.0.7:1", "[fe80::1]:1")] == [True] * 3
    assert not access.knows("evil.example:1")


def test_every_answer_has_the_headers(page: Any) -> None:
    for path in ("/", "/page/main.js", "/api/about", "/nothing", "/api/picture.png?seed=x"):
        answer = page.client.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert page.client.get("/page/main.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8765"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
def test_other_sites_are_refused(page: Any, headers: dict[str, str]) -> None:
    assert page.client.get("/api/about", headers=headers).status_code == 403
    assert page.client.post("/api/open", content="{}", headers=headers).status_code == 403
    with pytest.raises(WebSocketDisconnect), page.client.websocket_connect(f"ws://{HOST}/api/socket", headers=headers):
        pass


def test_what_changes_something_needs_the_pages_origin(page: Any) -> None:
    assert page.client.post("/api/open", content="{}").status_code == 403
    with pytest.raises(WebSocketDisconnect), page.client.websocket_connect(f"ws://{HOST}/api/socket"):
        pass
    from_a_link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert page.client.get("/", headers=from_a_link).status_code == 200
    assert page.client.get("/api/about", headers=from_a_link).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/page/../../../pyproject.toml",
        "/page/..%2f..%2f__init__.py",
        "/page/%2e%2e/look.py",
        "/page//etc/passwd",
        "/page/main.js%00.html",
        "/api/file/..%2fsecret.txt",
        "/api/grid.png?run=..&at=8",
        "/api/grid.png?run=../runs/a&at=8",
        "/api/curves?run=/etc",
        "/api/recipe?run=a/../..",
        "/api/recipe?run=secret.txt",
    ],
)
def test_paths_outside_are_refused(page: Any, path: str) -> None:
    answer = page.client.get(path)
    assert answer.status_code == 404
    assert b"secret" not in answer.content.replace(b"secret.txt", b"")


def test_another_machine_needs_the_token(open_page: Callable[..., Any]) -> None:
    with open_page(access=remote_access("127.0.0.1", "the-token")) as page:
        client = page.client
        assert client.get("/").status_code == 401
        assert client.get("/?token=other").status_code == 401
        assert client.get("/api/about?token=the-token").status_code == 401
        answer = client.get("/?token=the-token")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert "samesite=strict" in answer.headers["set-cookie"].lower()
        assert client.get("/api/about").json()["model"]["size"] == 16  # the client keeps the cookie
        assert client.get("/", headers={"host": "evil.example"}).status_code == 403


def test_two_views_on_one_host_do_not_lock_each_other_out(open_page: Callable[..., Any]) -> None:
    jar: dict[str, str] = {}
    with (
        open_page(access=remote_access("127.0.0.1", "one")) as one,
        open_page(access=remote_access("127.0.0.1", "other")) as other,
    ):
        for page, port, token in ((one, 8765, "one"), (other, 8766, "other")):
            answer = page.client.get(f"/?token={token}", headers={"host": f"127.0.0.1:{port}"})
            name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
            jar[name] = value
        both = "; ".join(f"{name}={value}" for name, value in jar.items())  # cookies do not know ports
        for page, port in ((one, 8765), (other, 8766)):
            page.client.cookies.clear()
            headers = {"host": f"127.0.0.1:{port}", "cookie": both}
            assert page.client.get("/api/about", headers=headers).status_code == 200
            assert page.client.get("/api/about", headers=headers | {"host": "127.0.0.1:9"}).status_code == 401


def test_the_address_that_is_printed_is_let_in() -> None:
    access = local_access("127.0.0.2")
    assert access.knows("127.0.0.2:8765")
    assert access.knows("localhost:8765")
    assert not access.knows("127.0.0.3:8765")
