"""The way of a GPU's step on a CPU: planned and sent as one buffer, its scalars read after the next one has begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dying_runs import dies_after
from loss_switches import keys_of
from same_run import assert_same_run

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import TrainingError
from swincli.recipe import Recipe
from swincli.system.device_copy import HostCopy, send_packed
from swincli.system.distributed import Processes
from swincli.training import loop
from swincli.training.losses import phases
from swincli.training.losses.memory import Step
from swincli.training.losses.remembered import new_memory, reads_last_step, update_memory
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state
from swincli.training.run_step import StepScalars
from swincli.training.step import batches
from swincli.training.step_reports import StepReports

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
MEANS = dict.fromkeys(("d/real_sign", "d/real_logit", "d/fake_logit", "g/path_length"), 0.5)
SWITCHES = keys_of(("adaptive", "mee entropy", "mee dlle"))


def run(recipe: Recipe, store: Store, out: Path) -> None:
    loop.train(recipe, store, out, CPU, Console(quiet=True), resume=True)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Training in this process runs as on CUDA; returns how many steps ran before each settled one was read."""
    ahead: list[int] = []
    settle = StepReports.settle

    def noted(self: StepReports) -> None:
        if self._queued is not None:
            ahead.append((self._state.images_seen - self._queued[0].images_seen) // self._state.recipe.train.batch)
        settle(self)

    monkeypatch.setattr(loop, "reads_late", lambda _: True)
    monkeypatch.setattr(batches, "send", send_packed)
    monkeypatch.setattr(phases, "send", send_packed)
    monkeypatch.setattr(StepReports, "settle", noted)
    return ahead


@pytest.mark.parametrize("killed_after", [None, pytest.param(3, marks=pytest.mark.slow)])
def test_a_run_is_the_same_to_the_bit(
    tiny_recipe: MakeRecipe,
    store: Store,
    tmp_path: Path,
    as_on_a_gpu: list[int],
    monkeypatch: pytest.MonkeyPatch,
    killed_after: int | None,
) -> None:
    every = [f"run.{key}=8" for key in ("log", "snapshot", "samples")]
    recipe = tiny_recipe(*SWITCHES, "run.tensorboard=false", "train.batch=4", "train.total=16", *every)
    if killed_after is not None:
        with dies_after(killed_after, monkeypatch):
            run(recipe, store, tmp_path / "late")
    run(recipe, store, tmp_path / "late")
    assert set(as_on_a_gpu) == {0, 1}
    monkeypatch.undo()
    run(recipe, store, tmp_path / "plain")
    assert_same_run(tmp_path / "late", tmp_path / "plain")


@pytest.mark.parametrize(
    ("keys", "due"),
    [
        ((), [False] * 6),
        (("loss.mee_entropy=1",), [False] * 6),  # the codes of a step are remembered within it
        (("loss.lecam=1", "loss.lecam_from=12"), [False, False, True, True, True, True]),
        (("loss.path_length=1", "loss.path_length_interval=2"), [False, True] * 3),
        (("augment.apa=true", "augment.control=adaptive"), [False, False, False, True, False, False]),
    ],
)
def test_scalars_are_read_before_the_next_step_if_it_needs_them(
    tiny_recipe: MakeRecipe, keys: tuple[str, ...], due: list[bool]
) -> None:
    recipe = tiny_recipe("train.batch=4", *keys)
    memory, found = new_memory(recipe), []
    for step in range(6):
        found.append(reads_last_step(memory, recipe, 4 * step + 4))
        update_memory(memory, Step(recipe, 4 * step, MEANS, {}))
    assert found == due


def scalars(seen: int, value: float) -> StepScalars:
    return StepScalars(seen, ["loss/d"], {"loss/d": "D"}, {}, HostCopy(torch.tensor([value])))


def test_a_loss_that_is_not_finite_stops_with_its_own_step(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path
) -> None:
    state: Any = build_state(tiny_recipe(), store.content_hash, CPU)
    reports = StepReports(state, RunFolder(tmp_path), None, Processes(), late=True)
    reports.queue(scalars(4, float("nan")), 0.0)
    assert not reports.is_due
    with pytest.raises(TrainingError, match="phase D: loss/d not finite after 4 images"):
        reports.queue(scalars(8, 1.0), 0.0)
