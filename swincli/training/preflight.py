"""What would fail in the first night of a run is made to fail in its first seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from swincli.console import Console
from swincli.data.prepare import PrepareOptions, prepare
from swincli.data.store import Store, is_store
from swincli.errors import DataError, RecipeError, ResourceError
from swincli.model.discriminators import make_discriminator
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.training.labels import training_classes
from swincli.training.run_folder import RunFolder
from swincli.training.state import TrainingState, read_state, restore
from swincli.units import format_bytes


def open_training_store(recipe: Recipe, console: Console) -> Store:
    """Open the recipe's images; where they are not there yet and the recipe says from what, prepare them.

    Raises:
        RecipeError: the recipe names no images.
        DataError: they are missing or damaged, or cannot be prepared.
    """
    data = recipe.data
    path = _data_path(recipe)
    if not path.exists() and data.source is not None:
        console.say(f"{path} is not there yet: preparing it from {data.source}")
        prepare(data.source, path, PrepareOptions(recipe.model.size, data.crop, data.filter), console)
    if path.exists() and not is_store(path):
        raise DataError(
            f"{path}: not a store of images",
            f"Make one with `swincli prepare-data {path} DEST --resolution {recipe.model.size}` and give --data DEST.",
        )
    return Store.open(path)


def _data_path(recipe: Recipe) -> Path:
    if recipe.data.path is None:
        raise RecipeError("the recipe", ["data.path: names no images"], "Give --data STORE, or set data.path.")
    return Path(recipe.data.path)


def describe_plan(recipe: Recipe) -> dict[str, object]:
    """What a run would be, found out without writing anything.

    Raises:
        SwincliError: the recipe's networks cannot be built, or its images do not fit.
    """
    with torch.device("meta"):
        generator, discriminator = Generator(recipe.model), make_discriminator(recipe.model)
    path = _data_path(recipe)
    images: int | None = None
    if path.exists() or recipe.data.source is None:
        store = Store.open(path)
        check_data(recipe, store)
        images = len(store)
    return {
        "generator parameters": sum(p.numel() for p in generator.parameters()),
        "discriminator parameters": sum(p.numel() for p in discriminator.parameters()),
        "training images": images if images is not None else f"to be prepared from {recipe.data.source}",
        "images to show": recipe.train.total,
        "steps": -(-recipe.train.total // recipe.train.batch),
        "a training state": format_bytes(state_bytes(generator, discriminator)),
    }


def check_data(recipe: Recipe, store: Store) -> None:
    """Compare the images with the recipe.

    Raises:
        DataError: they have another size, there are fewer than a batch, or their labels are not the recipe's classes.
    """
    size, batch = recipe.model.size, recipe.train.batch
    if store.resolution != size:
        raise DataError(
            f"{store.path}: its images are {store.resolution} px, model.size is {size}",
            f"Prepare them with --resolution {size}, or set model.size={store.resolution}.",
        )
    if len(store) < batch:
        raise DataError(
            f"{store.path}: {len(store)} images are fewer than a batch (train.batch = {batch})",
            f"Add images, or --set train.batch={len(store)} or less.",
        )
    training_classes(recipe.model.classes, store)


def check_disk(folder: RunFolder, state: TrainingState) -> None:
    """See that the states and a few models will fit.

    Raises:
        ResourceError: they will not.
    """
    one_state = state_bytes(state.generator, state.discriminator)
    needed = (state.recipe.run.keep + 1) * one_state + 3 * _bytes(state.generator)
    free = shutil.disk_usage(folder.path).free
    if free < needed:
        raise ResourceError(
            f"{folder.path}: {format_bytes(free)} free, and the run needs at least {format_bytes(needed)}",
            "Free some space, lower run.keep, or give an --out on another disk.",
        )


def rehearse(folder: RunFolder, state: TrainingState, step: Callable[[], object]) -> None:
    """Save the untrained state, run one step of everything, and go back to what was saved.

    The save is real: it is the state that a run killed before its first snapshot starts from again.
    """
    folder.save(state)
    step()
    for optimizer in (state.g_optimizer, state.d_optimizer):
        optimizer.state.clear()
    restore(state, read_state(folder.state(state.images_seen)))


def state_bytes(generator: nn.Module, discriminator: nn.Module) -> int:
    """Size of a state file: weights and two moments of both networks, and G's average."""
    return 4 * _bytes(generator) + 3 * _bytes(discriminator)


def _bytes(network: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
