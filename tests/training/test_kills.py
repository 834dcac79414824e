"""A run that is killed at random moments, again and again, ends with the same bits as one that never was."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from first_steps import SMALLEST_MODEL
from same_run import assert_same_run, files

from swincli.data.store.reader import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and asks /proc for the names of open files")

KILLS_OF_A_RUN = 11  # at most
RECIPE = (
    SMALLEST_MODEL
    + """
[data]
path = "{data}"

[train]
total = 12
batch = 2
decay_from = 5

[loss]
r1_interval = 2
bcr_real = 1
bcr_fake = 1

[augment]
flip = true

[ema]
half_life = 100
ramp = 0.05

[run]
snapshot = 4
samples = 6
log = 3
grid = [2, 2]
tensorboard = false
"""
)
MEASURED = """
keep = 1

[evaluate]
every = 4
num = 4
"""

Send = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def send() -> Iterator[Send]:
    """`send(recipe, out, after=None, event=None, measured=False)`: one session of training, killed where asked."""
    server = Path(__file__).with_name("kill_server.py")
    process = subprocess.Popen([sys.executable, str(server)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None

    def session(
        recipe: Path, out: Path, after: float | None = None, event: int | None = None, measured: bool = False
    ) -> dict[str, Any]:
        request = {"recipe": str(recipe), "out": str(out), "after": after, "event": event, "measured": measured}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield session
    process.stdin.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("kills", [2, pytest.param(22, marks=pytest.mark.slow)])  # for each of two recipes
@pytest.mark.parametrize("measured", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_kills_at_random_moments_change_no_bit(
    send: Send, store: Store, tmp_path: Path, measured: bool, kills: int
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(data=store.path) + (MEASURED if measured else ""))
    unbroken = tmp_path / "unbroken"
    whole = send(recipe, unbroken, measured=measured)
    assert not whole["failed"]
    assert whole["events"] > 100
    if measured:
        assert [name for name in files(unbroken) if name.endswith(".pt")] == [
            "state-000000000004.pt",  # which measured best
            "state-000000000012.pt",
        ]
    seed = time.time_ns() % 2**32
    chance, died, number = random.Random(seed), 0, 0
    while died < kills:
        number += 1
        run, history = tmp_path / f"run-{number}", [f"seed {seed}, run {number}"]
        try:
            session = partial(send, recipe, run, measured=measured)
            died += kill_again_and_again(session, min(kills, KILLS_OF_A_RUN), whole, chance, history)
            assert_same_run(run, unbroken)
        except AssertionError as error:
            raise AssertionError("; ".join(history)) from error


def kill_again_and_again(
    send: Send, kills: int, whole: dict[str, Any], chance: random.Random, history: list[str]
) -> int:
    """Kill sessions of a run, half of them at a random time and half at a random event, and let the last one end.

    Args:
        send: Starts a session.
        kills: How often.
        whole: What became of an unbroken run: its seconds and events.
        chance: Where the moments come from.
        history: Where they are noted.

    Returns:
        The number of kills; fewer than planned where a session came to the end of the run.
    """
    for trial in range(kills):
        left = 1 - trial / (kills + 1)  # of the work, if every session gets on as far
        if trial % 2:
            end = send(after=chance.uniform(0, left * whole["seconds"]))
        else:
            end = send(event=chance.randint(1, int(left * whole["events"])))
        history.append(end["where"] if end["killed"] else "not killed")
        assert not end["failed"], "a session failed; its traceback is on stderr"
        if not end["killed"]:
            return trial
    assert not send()["failed"]
    return kills


@pytest.mark.slow
def test_a_run_whose_disk_is_lost_at_a_random_moment_is_restored_from_its_mirror(
    send: Send, store: Store, tmp_path: Path
) -> None:
    """The mirror is copied back, whatever it held at that moment, and the run ends with the same bits."""
    recipe, disk = tmp_path / "tiny.toml", tmp_path / "disk"
    recipe.write_text(RECIPE.format(data=store.path) + f'mirror = "{disk}"\n')
    unbroken = tmp_path / "unbroken"
    whole = send(recipe, unbroken)
    assert not whole["failed"]
    seed = time.time_ns() % 2**32
    chance = random.Random(seed)
    for number in range(8):
        run, copy = tmp_path / f"run-{number}", disk / f"run-{number}"
        end = send(recipe, run, after=chance.uniform(0, whole["seconds"]))
        if end["killed"]:
            shutil.rmtree(run, ignore_errors=True)
            if copy.exists():
                shutil.copytree(copy, run)
            assert not send(recipe, run)["failed"], f"seed {seed}, run {number}, killed {end['where']}"
        assert_same_run(run, unbroken)
