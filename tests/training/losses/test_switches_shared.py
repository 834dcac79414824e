"""Two processes train as one does, with every switch; those that need the whole batch are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import loss_switches
import pytest
import torch
from loss_switches import ACCUMULATED, FROZEN_FEATURES, SWITCHES, WHOLE_BATCH, Steps, keys_of
from tiny_backbone import install_tiny_backbone
from torchrun import torchrun

from swincli.data.store.reader import Store
from swincli.errors import RecipeError
from swincli.recipe import Recipe, dump_recipe
from swincli.training.step.batch_shards import split_batch

MakeRecipe = Callable[..., Recipe]
KEYS = ("train.total=400", "train.batch=8", "loss.r1_interval=2")


@pytest.fixture(scope="module")
def together(tiny_recipe: MakeRecipe, larger_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two processes report and hold after two steps, of each switch."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "tiny.toml").write_text(dump_recipe(tiny_recipe()))
    (folder / "larger.toml").write_text(dump_recipe(tiny_recipe(f"data.path={larger_store.path}")))
    done = torchrun(Path(loss_switches.__file__).with_name("switches_together.py"), folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SWITCHES if name not in WHOLE_BATCH])
def test_two_processes_are_one(tiny_recipe: MakeRecipe, store: Store, together: Path, name: str) -> None:
    alone = Steps(tiny_recipe(*KEYS, *keys_of((name,))), store, double=True)
    assert_same(alone, together / f"{name}.pt")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", "-gpu"])
@pytest.mark.parametrize("name", ACCUMULATED)
def test_two_processes_with_two_micro_batches_are_one_without(
    tiny_recipe: MakeRecipe, store: Store, together: Path, name: str, path: str
) -> None:
    """R1 in the first step. On GPUs, D's weights are computed together."""
    alone = Steps(tiny_recipe(*KEYS, *ACCUMULATED[name].split(), "run.micro_batch=null"), store, double=True)
    assert_same(alone, together / f"accumulated-{name}{path}.pt")


def assert_same(alone: Steps, together: Path) -> None:
    """Take the same two steps alone, and compare what they report and hold."""
    reported, shared = alone.run(2), torch.load(together)
    for ours, theirs in zip(shared["reported"], reported, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)
    for place, value in alone.tensors().items():
        torch.testing.assert_close(shared["tensors"][place], value, rtol=1e-6, atol=1e-8, equal_nan=True, msg=place)


@pytest.mark.slow
@pytest.mark.parametrize("name", FROZEN_FEATURES)
def test_two_processes_with_frozen_features_are_one(
    tiny_recipe: MakeRecipe, larger_store: Store, together: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each rank holds a whole group of batch norm's."""
    install_tiny_backbone(monkeypatch).double()
    alone = Steps(tiny_recipe(*KEYS, *FROZEN_FEATURES[name].split()), larger_store, double=True)
    assert_same(alone, together / f"{name}.pt")


@pytest.mark.parametrize("name", sorted(WHOLE_BATCH))
def test_what_needs_the_whole_batch_is_refused(tiny_recipe: MakeRecipe, name: str) -> None:
    with pytest.raises(RecipeError, match="whole batch, which cannot be split"):
        split_batch(tiny_recipe(*KEYS, *keys_of((name,))), 2)
