"""Requests to stop from other processes: obeyed by the session that they name, and by no other."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swincli.system.distributed import Processes
from swincli.training.run import stop_file
from swincli.training.run.lock import RunLock, locked_run
from swincli.training.run.session import find_session
from swincli.training.run.signals import StopRequest
from swincli.training.run.stop_file import NAME, StopFile, listen_for_stop, request_stop


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[RunLock]:
    """The lock of a run in which this process works."""
    with locked_run(tmp_path, Processes()) as held:
        yield held


class Clock:
    """Monotonic time that stands still."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_request_is_heard_and_its_file_is_gone(lock: RunLock) -> None:
    session, stop = find_session(lock.folder), StopRequest()
    assert session is not None
    assert (session.pid, session.is_alive) == (os.getpid(), True)
    with listen_for_stop(lock, stop):
        path = request_stop(lock.folder, session)
        assert stop.poll()
        assert stop.reason == "stop requested"
        assert not path.exists()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"session": 1}'])
def test_a_file_made_by_hand_is_a_request(lock: RunLock, content: str) -> None:
    stop = StopRequest()
    with listen_for_stop(lock, stop):
        (lock.folder / NAME).write_text(content)
        assert stop.poll()


def test_a_request_for_another_session_is_not_obeyed(lock: RunLock) -> None:
    stop = StopRequest()
    with listen_for_stop(lock, stop):
        (lock.folder / NAME).write_text(json.dumps({"session": {"host": "elsewhere", "pid": 1, "started": 2.0}}))
        assert not stop.poll()


@pytest.mark.parametrize("content", ["", '{"session": {"host": "elsewhere", "pid": 1, "started": 2.0}}'])
def test_what_an_earlier_session_has_left_is_removed_at_the_start(lock: RunLock, content: str) -> None:
    (lock.folder / NAME).write_text(content)
    stop = StopRequest()
    with listen_for_stop(lock, stop):
        assert not (lock.folder / NAME).exists()
        assert not stop.poll()


def test_a_request_that_comes_before_the_first_step_is_kept_and_a_late_one_is_removed(lock: RunLock) -> None:
    session, stop = find_session(lock.folder), StopRequest()
    assert session is not None
    request_stop(lock.folder, session)
    with listen_for_stop(lock, stop):
        assert stop.poll()
        request_stop(lock.folder, session)  # while it saves
    assert not (lock.folder / NAME).exists()


def test_the_disk_is_asked_every_two_seconds_at_most_and_gets_a_sign_of_life(lock: RunLock) -> None:
    clock = Clock()
    request = StopFile(lock, clock)
    os.utime(lock.path, (1, 1))
    assert request.poll() is None
    assert lock.path.stat().st_mtime > time.time() - 100
    request.path.touch()
    clock.now += stop_file.POLL_SECONDS - 0.1
    assert request.poll() is None
    clock.now += 0.2
    assert request.poll() == "stop requested"


def test_no_lock_is_no_session_and_a_dead_process_is_a_dead_one(tmp_path: Path) -> None:
    assert find_session(tmp_path) is None
    (tmp_path / ".lock").write_text("[]")
    assert find_session(tmp_path) is None
    facts = RunLock(tmp_path).facts
    (tmp_path / ".lock").write_text(json.dumps({**facts, "started": 1.0}))
    found = find_session(tmp_path)
    assert found is not None
    assert found.is_alive is False
    (tmp_path / ".lock").write_text(json.dumps({**facts, "host": "elsewhere"}))
    found = find_session(tmp_path)
    assert found is not None
    assert found.is_alive is None
