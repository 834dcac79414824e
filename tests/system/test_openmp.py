"""How OpenMP's threads wait: the user's setting counts, results stay, and reserve threads come and go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch

from swincli.system import openmp


def test_the_spin_count_is_set_where_the_user_has_set_nothing() -> None:
    environ: dict[str, str] = {}
    openmp.prepare_environment(environ)
    assert environ == openmp.OURS
    openmp.prepare_environment(environ)  # a child process inherits it
    assert environ == openmp.OURS
    assert openmp.user_setting(environ) is None


@pytest.mark.parametrize("name", openmp.USER_SETTINGS)
def test_a_setting_of_the_user_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {name: "7"}
    openmp.prepare_environment(environ)
    assert environ == {name: "7"}
    for other in openmp.USER_SETTINGS:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "7")
    assert not openmp.adapts()
    assert openmp.describe() == f"wait as your {name}=7 says"


def test_the_command_sets_it_before_pytorch_is_loaded() -> None:
    code = (
        "import os, sys; from swincli.commands import app; app.run = lambda: print("
        "os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)\ntry: app.main()\nexcept SystemExit: pass"
    )
    environ = {name: value for name, value in os.environ.items() if name not in openmp.USER_SETTINGS}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [openmp.OURS["GOMP_SPINCOUNT"], "False"]


@pytest.mark.parametrize(
    ("threads", "others", "cores", "missing"),
    [(2, 0.0, 2, 0.0), (2, 1.0, 2, 1.0), (2, 1.0, 8, 0.0), (4, 6.5, 8, 2.5)],
)
def test_cores_that_are_missing(threads: int, others: float, cores: int, missing: float) -> None:
    assert openmp.missing_cores(threads, others, cores) == missing


def test_the_reserve_is_held_while_cores_are_missing() -> None:
    reserve = openmp.Reserve(teams=2)
    before = threading.active_count()
    reserve.update(0.0)
    assert not reserve.is_held
    reserve.update(1.0)
    reserve.update(1.0)
    assert reserve.is_held
    assert threading.active_count() == before + 2
    reserve.update(openmp.BUSY_CORES - 0.1)  # between the two limits nothing changes
    assert reserve.is_held
    reserve.update(0.0)
    assert not reserve.is_held
    assert threading.active_count() == before


def test_results_are_the_same_to_the_bit_with_and_without_the_reserve() -> None:
    torch.manual_seed(0)
    x = torch.randn(257, 511)
    plain = [x @ x.T, x.sum(), x.softmax(1)]
    reserve = openmp.Reserve(teams=3)
    reserve.update(2.0)
    try:
        held = [x @ x.T, x.sum(), x.softmax(1)]
    finally:
        reserve.end()
    assert all(torch.equal(a, b) for a, b in zip(plain, held, strict=True))


def test_the_watcher_reacts_to_other_programs_and_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, clock = threading.Event(), iter(range(1000))
    monkeypatch.setattr(openmp, "adapts", lambda: True)
    monkeypatch.setattr(openmp, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(openmp, "_core_seconds", lambda: (float(t := next(clock)), 64.0 * t, 0.0))
    held = openmp._hold_team

    def hold(release: threading.Event) -> Any:
        seen.set()
        return held(release)

    monkeypatch.setattr(openmp, "_hold_team", hold)
    before = threading.active_count()
    with openmp.adapt_spinning():
        assert seen.wait(10)
    assert threading.active_count() == before


def test_a_measurement_of_other_programs_is_a_number_of_cores() -> None:
    assert 0 <= openmp.other_programs(0.05) < 10_000
