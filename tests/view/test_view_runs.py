"""Runs on the page: the list, curves, grids, recipes; and what `swincli view` opens."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from viewed_pages import OWN

from swincli.commands.app import run
from swincli.errors import CheckpointError, UsageError
from swincli.view.opened import find_opened
from swincli.view.server.runs import series
from swincli.view.server.serve import FIRST_PORT, Place, address_of, bind, is_local


def test_all_runs_of_a_folder_are_listed(page: Any) -> None:
    found = page.client.get("/api/runs").json()["runs"]
    rows = {row["name"]: row for row in found}
    assert set(rows) == {"a", "more/b"}
    assert (rows["a"]["grids"], rows["a"]["models"], rows["a"]["resolution"]) == (2, [16], 16)
    assert rows["more/b"]["grids"] == 0


def test_curves_leave_out_damaged_lines_and_come_once(page: Any) -> None:
    found = page.client.get("/api/curves?run=a").json()
    assert found["stats"] == {"loss/d": [[8, 0.8], [16, 1.6]]}
    assert found["metrics"] == {"fid (1,000 images)": [[16, 50.0]]}
    assert page.client.get(f"/api/curves?run=a&mark={found['mark']}").status_code == 204
    assert page.client.get("/api/curves?run=more/b").json()["stats"] == {}


def test_long_curves_are_thinned_by_means() -> None:
    lines = [(float(at), {"x": float(at), "odd": "text", "none": None, "yes": True}) for at in range(2400)]
    found = series(lines)
    assert set(found) == {"x"}
    assert len(found["x"]) == 600
    assert found["x"][0] == [1.5, 1.5]


def test_grids_recipes_and_their_difference(page: Any) -> None:
    assert page.client.get("/api/grids?run=a").json() == {"grids": [8, 16]}
    assert page.client.get("/api/grid.png?run=a&at=8").headers["content-type"] == "image/png"
    assert page.client.get("/api/grid.png?run=a&at=reals").status_code == 200
    assert page.client.get("/api/grid.png?run=a&at=9").status_code == 404
    assert page.client.get("/api/grid.png?run=a&at=x").status_code == 400
    found = page.client.get("/api/recipe?run=a&other=more/b").json()
    assert found["difference"] == [{"key": "train.batch", "one": "4", "other": "2"}]
    assert "[train]" in found["text"]


def test_a_model_of_a_run_is_opened_and_no_other(open_page: Callable[..., Any], runs: Path) -> None:
    with open_page(runs=runs) as page:  # its own: what it opens stays open
        answer = page.client.post("/api/open", json={"run": "a", "images_seen": 16}, headers=OWN)
        assert answer.json()["model"]["path"].endswith("a/model-000000000016.safetensors")
        wrong: list[dict[str, Any]] = [{"run": "a", "images_seen": 8}, {"run": "../x", "images_seen": 16}]
        for asked in [*wrong, {"run": "a", "images_seen": "x"}]:
            assert page.client.post("/api/open", json=asked, headers=OWN).status_code in (400, 404)


def test_a_page_without_a_model_or_without_runs_says_so(open_page: Callable[..., Any], runs: Path) -> None:
    with open_page(model=None, runs=runs / "more") as page, page.socket() as channel:
        assert page.client.get("/api/about").json()["model"] is None
        assert page.client.get("/api/runs").json()["runs"][0]["name"] == "b"
        assert "no model is open" in page.ask(channel, kind="picture", look="")[0]["error"]
    with open_page() as page:
        assert "a single model was opened" in page.client.get("/api/runs").json()["error"]


def test_what_view_opens(runs: Path, shown_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = runs / "a" / "model-000000000016.safetensors"
    assert find_opened(str(shown_model)).runs is None
    assert find_opened("builtin:cats32").model is not None
    assert find_opened(str(runs)) == find_opened(str(runs)).__class__(model, runs)
    assert find_opened(str(runs / "a")) == find_opened(str(runs)).__class__(model, runs / "a")
    assert find_opened(str(runs / "more")).model is None
    monkeypatch.chdir(tmp_path)
    for text in (None, str(tmp_path), "nowhere"):
        with pytest.raises(CheckpointError) as caught:
            find_opened(text)
        assert "builtin:cats32" in (caught.value.hint or "")
    (tmp_path / "runs").symlink_to(runs)
    assert find_opened(None).runs == Path("runs")


def test_ports_and_addresses() -> None:
    with bind(Place()) as one, bind(Place()) as other:
        ports = [each.getsockname()[1] for each in (one, other)]
        assert FIRST_PORT <= ports[0] < ports[1]
        with pytest.raises(UsageError, match=f"--port {ports[0]}: in use"):
            bind(Place(port=ports[0]))
        assert address_of(Place(), one, None) == f"http://127.0.0.1:{ports[0]}/"
        assert address_of(Place(host="0.0.0.0"), one, "abc").startswith(f"http://{socket.gethostname()}:")
    for host in ("nowhere.invalid", "203.0.113.1"):
        with pytest.raises(UsageError, match=rf"--host {host}"):
            bind(Place(host=host))
    assert [is_local(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "gpu")] == [True] * 3 + [False] * 2


def test_windows_lets_nobody_else_have_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(socket.socket, "setsockopt", lambda _, *option: asked.append(option[1]))
    bind(Place()).close()
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)
    bind(Place()).close()
    assert asked == [socket.SO_REUSEADDR, -5]


def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["view", "--no-browser"]) == 1
    assert "builtin:cats32" in capsys.readouterr().err
    with bind(Place()) as taken:
        port = str(taken.getsockname()[1])
        assert run(["view", "builtin:cats32", "--port", port, "--no-browser"]) == 2
    assert f"--port {port}: in use" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else os)
    assert run(["view", "builtin:cats32"]) == 1
    assert "swincli[view]" in capsys.readouterr().err
