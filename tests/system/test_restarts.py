"""What torchrun leaves behind when it starts failed processes again."""

from __future__ import annotations

import importlib
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torchrun import torchrun

from swincli.console import Advance
from swincli.errors import DataError, PeerFailedError, SwincliError
from swincli.system import distributed
from swincli.system.distributed import Processes, init_distributed

rendezvous = importlib.import_module("torch.distributed.rendezvous")  # a function of the package has that name too
SCRIPT = Path(__file__).with_name("fail_once_together.py")


def test_an_attempt_does_not_inherit_the_failures_and_progress_of_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts of a group of one process with the same store, as under torchrun --max-restarts."""
    store, told = dist.HashStore(), []
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    monkeypatch.setattr(rendezvous, "rendezvous", lambda *_, **__: iter([(store, 0, 1)]))

    def work(advance: Advance) -> str:
        advance(3)
        return "done"

    def fail(advance: Advance) -> None:
        advance(5)
        raise DataError("damaged")

    with init_distributed(torch.device("cpu")) as processes, pytest.raises(DataError, match="damaged"):
        processes.run_on_all(fail)
    with init_distributed(torch.device("cpu")) as processes:
        assert processes.run_on_all(work, told.append) == "done"
    assert told == [3]


def test_all_ranks_agree_on_a_new_prefix_in_every_attempt() -> None:
    """Also where an attempt has ended before all ranks of it had started."""
    store = dist.HashStore()
    store.set("swincli/hello/2", "of a rank that was killed")
    for attempt in range(3):
        found: dict[int, dist.Store] = {}

        def join(rank: int, found: dict[int, dist.Store] = found) -> None:
            found[rank] = distributed._store_of_this_attempt(store, rank, 3)

        threads = [threading.Thread(target=join, args=(rank,), daemon=True) for rank in (1, 0, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert found.keys() == {0, 1, 2}
        assert not found[0].check(["failed"])
        found[0].set("failed", str(attempt))
        assert [found[rank].get("failed").decode() for rank in range(3)] == [str(attempt)] * 3


def test_a_failure_without_words_is_not_an_empty_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processes, "all_gather", lambda _, value: [value, value])

    def fail(_: Advance) -> None:
        raise PeerFailedError("another rank has failed")

    with pytest.raises(SwincliError) as caught:
        Processes(0, 2, dist.HashStore()).run_on_all(fail)
    assert caught.value.message
    assert caught.value.hint


@pytest.mark.slow
def test_shared_work_succeeds_after_a_restart(tmp_path: Path) -> None:
    done = torchrun("--max-restarts", 1, SCRIPT, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)] == [["1", 5], ["1", 5]]


def test_a_hanging_collective_ends_soon_and_what_the_main_process_does_alone_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    monkeypatch.setattr(rendezvous, "rendezvous", lambda *_, **__: iter([(dist.HashStore(), 0, 1)]))
    limits = []
    for name in ("init_process_group", "new_group"):
        plain = getattr(dist, name)

        def noting(*arguments: Any, plain: Any = plain, timeout: timedelta, **options: Any) -> Any:
            limits.append(timeout)
            return plain(*arguments, timeout=timeout, **options)

        monkeypatch.setattr(dist, name, noting)
    with init_distributed(torch.device("cpu")) as processes:
        assert processes.patient is not None
    assert limits == [timedelta(minutes=30), timedelta(hours=6)]


@pytest.mark.slow
def test_work_of_the_main_process_may_take_longer_than_a_collective(tmp_path: Path) -> None:
    """Two processes whose collectives may take a second; the main one works alone for two."""
    done = torchrun(Path(__file__).with_name("wait_for_main.py"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"rank-{rank}").read_text() for rank in range(2)] == ["done", "done"]
