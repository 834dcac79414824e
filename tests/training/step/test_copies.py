"""Copies to the device and reads from it in a whole step, counted on meta tensors: reading one raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from loss_switches import COMBINED, keys_of
from plain_losses import plain_losses
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.system.distributed import Processes
from swincli.training.run.state import build_state
from swincli.training.run_step import run_step
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.batches import next_micro_batches
from swincli.training.step.engine import start_engine
from swincli.training.step.phases import make_phases, make_setting

META = torch.device("meta")
RECIPES = {
    "plain": ["augment.flip=true"],
    "bcr": ["augment.flip=true", "loss.bcr_real=1", "loss.bcr_fake=1"],
    "ada": keys_of(("ada",)),
    **{" + ".join(names): keys_of(names) for names in COMBINED},
}


class Copies(TorchDispatchMode):
    """Counts copies of CPU tensors to the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = [value for value in _flat((args, kwargs or {})) if value.dim()]
        from_host = any(value.device.type == "cpu" for value in inputs)
        if from_host and any(value.device.type == "meta" for value in (*inputs, *_flat(out))):
            self.found.append(str(func))
        return out


def _flat(tree: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


class Making(TorchFunctionMode):
    """Counts tensors of numbers that are made on the meta device: the dispatcher does not show their copy."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        numbers = not any(isinstance(value, Tensor) for value in args)
        self.count += func in (torch.tensor, torch.as_tensor) and numbers and made.device.type == "meta"
        return made


@contextmanager
def two_copies() -> Iterator[None]:
    """In the block there are copies of the images and of one buffer to the device, and no other ones."""
    with Making() as making, Copies() as copies:
        yield
    assert copies.found == ["aten._to_copy.default"] * 2
    assert making.count == 0


@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("kind", ["bcr", "ada"])
def test_losses_copy_the_images_and_one_buffer(
    tiny_recipe: Callable[..., Recipe], store: Store, kind: str, micro_batches: int
) -> None:
    recipe = tiny_recipe(*RECIPES[kind], "train.batch=8", f"run.micro_batch={8 // micro_batches}")
    split = split_batch(recipe, 1)
    z = recipe.model.latent_dim
    generator = nn.Sequential(nn.Linear(z, 3 * 16 * 16), nn.Unflatten(1, (3, 16, 16))).to(META)
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1), nn.Softplus()).to(META)
    losses = plain_losses(generator, discriminator, recipe.loss, recipe.augment, model=recipe.model)

    def step() -> None:
        batches = next_micro_batches(recipe, store, 0, split, 0, META, probability=recipe.augment.start)
        assert len(batches) == micro_batches
        for batch in batches:
            for loss in (losses.d_loss, losses.d_penalties, losses.g_loss):
                loss(batch)

    step()  # it makes the constants
    with two_copies():
        step()


@pytest.mark.slow
@pytest.mark.parametrize("kind", RECIPES)
def test_a_whole_step_makes_two_copies(tiny_recipe: Callable[..., Recipe], store: Store, kind: str) -> None:
    recipe = tiny_recipe(*RECIPES[kind], "train.batch=4")
    state, split = build_state(recipe, store.content_hash, META), split_batch(recipe, 1)
    networks = state.generator, state.discriminator
    engine = start_engine(recipe.run, *networks, META, Processes())
    phases = make_phases(*networks, state.g_optimizer, state.d_optimizer, recipe, engine, state.memory)
    setting = make_setting(*networks, recipe, engine, state.memory)

    def step() -> None:
        seen, p = state.images_seen, setting.probability(state.images_seen)
        batches = next_micro_batches(recipe, store, seen, split, 0, META, probability=p, every_phase=True)
        state.images_seen = 0  # every phase is due
        run_step(state, phases, batches)

    step()  # it makes the constants
    with two_copies():
        step()
