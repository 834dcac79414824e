"""The queue before the worker: overtaken requests, two pages, a worker that is gone, a model that is replaced."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from viewed_pages import OWN, answer_of

from swincli.errors import SwincliError
from swincli.view.server.broker import GRID, PICTURE, Broker, OvertakenError
from swincli.view.server.worker_process import Worker, open_worker, reason_of_end


class SlowWorker:
    """Answers one message each time it is let go, and remembers them."""

    pid, exitcode = None, None

    def __init__(self) -> None:
        self.here, self.there = Pipe()
        self.heard: list[dict[str, Any]] = []

    def answer(self, done: Any = "drawn") -> dict[str, Any]:
        message = self.there.recv()
        self.heard.append(message)
        self.there.send({"id": message["id"], "done": done})
        return message

    def join(self, timeout: float | None = None) -> None:
        pass

    def terminate(self) -> None:
        self.there.close()


@pytest.fixture
def slow() -> Iterator[SlowWorker]:
    worker = SlowWorker()
    yield worker
    worker.here.close()


def queue_of(slow: SlowWorker) -> Broker:
    broker = Broker(Worker(slow.here, slow, {"path": "x"}), None, None, lambda _: None)  # type: ignore[arg-type]
    broker.begin()
    return broker


def test_overtaken_requests_never_reach_the_worker_and_urgent_ones_come_first(slow: SlowWorker) -> None:
    async def scenario() -> None:
        broker = queue_of(slow)
        first = broker.put({"kind": "first"}, GRID)
        grid = broker.put({"kind": "grid"}, GRID)
        older = broker.put({"kind": "older"}, PICTURE)
        newer = broker.put({"kind": "newer"}, PICTURE)
        older.drop()
        first.drop()  # the worker has begun with it: it is answered
        for _ in range(3):
            await asyncio.to_thread(slow.answer)
        assert await first.answer == await newer.answer == await grid.answer == "drawn"
        with pytest.raises(OvertakenError):
            await older.answer
        broker.end()

    asyncio.run(scenario())
    assert [message["kind"] for message in slow.heard] == ["first", "newer", "grid"]


def test_of_many_requests_of_a_slot_the_newest_is_answered(page: Any) -> None:
    with page.socket() as channel:
        first = page.number + 1
        for seed in range(30):
            page.number += 1
            channel.send_json({"slot": "picture", "number": page.number, "kind": "picture", "look": f"seed={seed}"})
        channel.send_json({"slot": "picture", "number": first, "kind": "picture", "look": "seed=99"})  # came late
        answers = []
        while not answers or answers[-1] != (page.number, False):
            header, _ = answer_of(channel.receive_bytes())
            answers.append((header["number"], header["preview"]))
    numbers = [number for number, _ in answers]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) < 30


def test_two_pages_do_not_overtake_each_other(page: Any) -> None:
    with page.socket() as one, page.socket() as other:
        numbers = {}
        for name, channel in (("one", one), ("other", other)):
            page.number += 1
            numbers[name] = page.number
            channel.send_json({"slot": "picture", "number": page.number, "kind": "picture", "look": "seed=1"})
        for name, channel in (("one", one), ("other", other)):
            assert answer_of(channel.receive_bytes())[0]["number"] == numbers[name]


def test_a_worker_that_is_gone_is_started_again_with_its_codes(open_page: Callable[..., Any]) -> None:
    with open_page() as page, page.socket() as channel:
        saved = page.client.post("/api/latents", json={"looks": ["seed=4"]}, headers=OWN).content
        (code,) = page.client.post("/api/codes?name=a.npz", content=saved, headers=OWN).json()["codes"]
        page.workers[0].terminate()
        news = [channel.receive_json(), channel.receive_json()]
        assert "was killed" in news[0]["trouble"]
        assert news[1] == {"event": "worker", "trouble": None}
        assert len(page.workers) == 2
        assert page.ask(channel, kind="picture", look=f"code={code}")[1]


def test_a_worker_that_dies_again_and_again_is_given_up_with_words(
    open_page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swincli.view.server.broker.RESTARTS", 0)
    with open_page() as page, page.socket() as channel:
        page.workers[0].terminate()
        channel.receive_json()
        assert "again and again" in channel.receive_json()["trouble"]
        assert "again and again" in page.client.get("/api/about").json()["trouble"]
        for _ in range(2):  # nobody waits for a worker that does not come
            answer = page.client.get("/api/picture.png?seed=1")
            assert answer.status_code >= 400
            assert "again and again" in answer.text
        monkeypatch.setattr("swincli.view.server.broker.RESTARTS", 3)
        assert page.client.post("/api/open", content="{}", headers=OWN).status_code == 200
        assert page.client.get("/api/picture.png?seed=1").status_code == 200


def test_a_model_that_is_replaced_is_noted_and_can_be_reloaded(
    open_page: Callable[..., Any], shown_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swincli.view.server.app.WATCH_SECONDS", 0.02)
    file = Path(shutil.copy(shown_model, tmp_path / "mine.safetensors"))
    with open_page(model=file) as page, page.socket() as channel:
        page.ask(channel, kind="picture", look="")  # the watch has begun
        os.utime(file, (1, 1))
        assert channel.receive_json() == {"event": "file", "change": "replaced"}
        assert page.client.get("/api/about").json()["change"] == "replaced"
        assert page.client.post("/api/open", content="{}", headers=OWN).status_code == 200
        assert channel.receive_json()["event"] == "model"
        file.write_bytes(b"half a model")
        assert channel.receive_json()["change"] == "replaced"
        answer = page.client.post("/api/open", content="{}", headers=OWN)
        assert str(file) in answer.json()["error"]
        assert page.ask(channel, kind="picture", look="seed=3")[1]  # the one from before stays
        file.unlink()
        assert channel.receive_json()["change"] == "gone"


def test_a_worker_that_cannot_open_the_model_says_why() -> None:
    def start(connection: Any, _: Any) -> Any:
        threading.Thread(target=connection.send, args=[{"error": "no model", "hint": "Give one."}]).start()
        return SlowWorker()

    def end(connection: Any, _: Any) -> Any:
        connection.close()
        worker = SlowWorker()
        worker.exitcode = -9  # type: ignore[assignment]
        return worker

    with pytest.raises(SwincliError, match=r"^no model$"):
        open_worker(start, None)  # type: ignore[arg-type]
    with pytest.raises(SwincliError, match="was killed, perhaps because memory ran out"):
        open_worker(end, None)  # type: ignore[arg-type]
    assert reason_of_end(-15) == "was ended by signal 15"


def test_a_page_that_breaks_off_takes_nothing_with_it(page: Any) -> None:
    with page.socket() as other:
        for leave in (lambda broken: broken.send_bytes(b"\x00garbage"), lambda broken: broken.close(1006)):
            with page.socket() as broken:
                page.number += 1
                broken.send_json(
                    {"slot": "g", "number": page.number, "kind": "tiles", "look": "", "seeds": list(range(40))}
                )
                leave(broken)
        assert page.ask(other, kind="picture", look="seed=5")[1]
