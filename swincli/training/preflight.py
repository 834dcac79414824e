"""Preflight checks: data, disk, and one smoke-tested step, so that a run fails in its first seconds if it must fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare, warn_of_generated
from swincli.data.sources.composed import SLOTS, is_composed
from swincli.data.store.reader import Store, is_store
from swincli.errors import DataError, RecipeError, ResourceError
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.model.pretrained.sentences import load_sentence_encoder
from swincli.recipe import Recipe
from swincli.system.atomic_files import free_bytes
from swincli.system.distributed import Processes
from swincli.system.resources import total_memory
from swincli.training.losses.weight_penalties import kept_copies
from swincli.training.run.folder import RunFolder
from swincli.training.run.shared_state import copy_in_memory
from swincli.training.run.state import TrainingState, make_networks, read_state, restore
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.freeze_d import frozen_parameters
from swincli.training.step.held_out import open_held_out, refuse_held_out_of_source
from swincli.training.step.labels import check_labels
from swincli.training.transfer.init_from import check_init
from swincli.units import format_bytes

STATS_LINE = 600  # bytes of a line of stats.jsonl, about


def open_training_store(recipe: Recipe, console: Console) -> Store:
    """Open the recipe's store; if it does not exist and `data.source` is set, prepare it first.

    Composed pictures get the labels of their slots if the recipe has attributes. Pictures that say that a trained
    algorithm made them are warned of once, there or here.

    Raises:
        RecipeError: `data.path` is not set.
        DataError: the images are missing or damaged, or cannot be prepared, or are to be prepared beside held-out ones.
        ResourceError: captions need a sentence encoder, which is not installed.
    """
    data = recipe.data
    path = _data_path(recipe)
    is_new = not path.exists() and data.source is not None
    if is_new and data.source is not None:
        refuse_held_out_of_source(recipe)
        console.say(f"{path} does not exist: preparing it from {data.source}")
        others = any(kind.name != "text" for kind in recipe.model.attribute_kinds.values())
        labels = data.labels or (SLOTS if others and is_composed(data.source) else None)
        chosen = PrepareOptions(recipe.model.size, data.crop, data.filter, labels=labels, captions=data.captions)
        encoder = None if data.captions is None else load_sentence_encoder()
        prepare(data.source, path, chosen, console, encoder=encoder)
    if path.exists() and not is_store(path):
        raise DataError(
            f"{path}: not a store of images",
            f"Make one with `swincli prepare-data {path} DEST --resolution {recipe.model.size}` and give --data DEST.",
        )
    store = Store.open(path)
    if not is_new:
        warn_of_generated(store.manifest.generated_images, len(store), console)
    return store


def _data_path(recipe: Recipe) -> Path:
    if recipe.data.path is None:
        raise RecipeError("the recipe", ["data.path: is not set"], "Give --data STORE, or set data.path.")
    return Path(recipe.data.path)


def open_existing_store(recipe: Recipe) -> Store | None:
    """Open the recipe's store and check that it fits; None if training will prepare it from `data.source`.

    Raises:
        RecipeError: `data.path` is not set.
        DataError: the images or the source are missing, damaged, or do not fit the recipe.
    """
    path, source = _data_path(recipe), recipe.data.source
    if path.exists() or source is None:
        store = Store.open(path)
        check_data(recipe, store)
        return store
    if not source.startswith("builtin:") and not Path(source).exists():
        raise DataError(f"data.source: {source} does not exist, and neither does data.path, {path}")
    refuse_held_out_of_source(recipe)
    return None


def build_on_meta(recipe: Recipe) -> tuple[Generator, nn.Module]:
    """G and D without values, for their shapes."""
    with meta_init():
        return make_networks(recipe)


def describe_plan(
    recipe: Recipe, store: Store | None, console: Console, device: torch.device, processes: int = 1, *, new: bool = True
) -> dict[str, object]:
    """Facts about a run for `--dry-run`; writes nothing.

    Args:
        recipe: The experiment.
        store: Its images; None if they are still to be prepared.
        console: Where warnings go.
        device: Where the networks go.
        processes: Number of ranks.
        new: Whether the run is new, so that it starts from `train.init`.

    Raises:
        SwincliError: the networks cannot be built or are too large for the machine, the batch cannot be split, or the
            checkpoint of `train.init` does not fit the recipe.
    """
    split = split_batch(recipe, processes)
    generator, discriminator = build_on_meta(recipe)
    check_memory(recipe, device, (generator, discriminator))
    frozen_parameters(discriminator, recipe.train.freeze_d)
    start = check_init(recipe, console) if new else None
    images = None if store is None else len(store)
    if store is not None:
        open_held_out(recipe, store)
    return {
        "generator parameters": sum(p.numel() for p in generator.parameters()),
        "discriminator parameters": sum(p.numel() for p in discriminator.parameters()),
        "training images": images if images is not None else f"to be prepared from {recipe.data.source}",
        "images to show": recipe.train.total,
        "steps": -(-recipe.train.total // recipe.train.batch),
        "images in a pass": split.micro_batch_size,
        "a training state": format_bytes(state_bytes(generator, discriminator, copies_of_g(recipe))),
        "all files of the run": format_bytes(disk_needs(recipe, generator, discriminator).whole),
        **({"start": start} if start else {}),
    }


def check_data(recipe: Recipe, store: Store) -> None:
    """Check that the store fits the recipe.

    Raises:
        DataError: another image size, fewer images than one batch, or labels that do not fit the recipe's.
    """
    size, batch = recipe.model.size, recipe.train.batch
    if store.resolution != size:
        raise DataError(
            f"{store.path}: its images are {store.resolution} px, but model.size is {size}",
            f"Prepare the store with --resolution {size}, or set model.size={store.resolution}.",
        )
    if len(store) < batch:
        raise DataError(
            f"{store.path}: {len(store)} images are fewer than one batch (train.batch={batch})",
            f"Add images, or --set train.batch={len(store)} or less.",
        )
    check_labels(recipe.model, store)


@dataclass(frozen=True)
class DiskNeeds:
    """Bytes that a run still writes: `soon`, until its third save; `whole`, until its end. States count once."""

    soon: int
    whole: int


def disk_needs(recipe: Recipe, generator: nn.Module, discriminator: nn.Module, images_seen: int = 0) -> DiskNeeds:
    """Bytes that a run writes after `images_seen` images; sample grids count as uncompressed."""
    run, ahead = recipe.run, max(0, recipe.train.total - images_seen)
    model, widths = parameter_bytes(generator), len(recipe.ema.power)
    saves = min(run.snapshot, recipe.evaluate.every or run.snapshot)
    states = run.keep + bool(recipe.evaluate.every) + 1  # plus the best one and the one being written
    fixed = states * state_bytes(generator, discriminator, copies_of_g(recipe))
    grid = run.grid[0] * run.grid[1] * recipe.model.size**2 * 3
    averages = widths * model // 2

    def by_the_end(saved: int, drawn: int, averaged: int) -> int:
        return fixed + saved * model + drawn * grid + averaged * averages

    return DiskNeeds(
        soon=by_the_end(3, 3, 1),
        whole=by_the_end(ahead // saves + 2, ahead // run.samples + 3, ahead // recipe.ema.power_every + 1)
        + (ahead // run.log + 1) * STATS_LINE,
    )


def check_memory(recipe: Recipe, device: torch.device, networks: tuple[nn.Module, nn.Module] | None = None) -> None:
    """Check that what training holds beside activations is smaller than the memory that there is.

    Args:
        recipe: The experiment.
        device: Where the networks go.
        networks: G and D, on any device; built on the meta device if left out.

    Raises:
        ResourceError: weights, gradients, averages and Adam's moments do not fit into the device's memory, or a sample
            grid into the machine's.
    """
    (columns, rows), size = recipe.run.grid, recipe.model.size
    grid = columns * rows * size**2 * 3
    if grid > total_memory():
        raise ResourceError(
            f"run.grid: {columns:,} x {rows:,} images of {size} px take {format_bytes(grid)}; "
            f"this machine has {format_bytes(total_memory())}",
            "Draw fewer images.",
        )
    generator, discriminator = map(parameter_bytes, networks or build_on_meta(recipe))
    needed = (5 + copies_of_g(recipe)) * generator + 4 * discriminator
    cuda = device.type == "cuda"
    there = torch.cuda.get_device_properties(device).total_memory if cuda else total_memory()
    if needed <= there:
        return
    network, spelled = ("g", recipe.model.g_channels) if generator > discriminator else ("d", recipe.model.d_channels)
    key = f"model.{network}_{'width' if spelled is None else 'channels'}"
    raise ResourceError(
        f"{key}: the networks take {format_bytes(needed)} with gradients, averages and Adam's moments; "
        f"{device} has {format_bytes(there)}",
        "Make the networks smaller, or use a device with more memory.",
    )


def check_disk(folder: RunFolder, state: TrainingState, console: Console | None = None) -> None:
    """`check_space` for a training state."""
    check_space(folder, state.recipe, (state.generator, state.discriminator), state.images_seen, console)


def check_space(
    folder: RunFolder,
    recipe: Recipe,
    networks: tuple[nn.Module, nn.Module],
    images_seen: int = 0,
    console: Console | None = None,
) -> None:
    """Check that the states and the first models and grids fit on the disk; warn if the whole run does not.

    Args:
        folder: The run; need not exist.
        recipe: The experiment.
        networks: G and D.
        images_seen: Images shown so far.
        console: Where the warning goes.

    Raises:
        ResourceError: there is not enough space for the first saves.
    """
    needs = disk_needs(recipe, *networks, images_seen)
    there = sum(path.stat().st_size for path in folder.states())
    free = free_bytes(folder.path)
    if free < needs.soon - there:
        raise ResourceError(
            f"{folder.path}: {format_bytes(free)} free, but the run needs at least {format_bytes(needs.soon - there)}",
            "Free some space, lower run.keep, or give an --out on another disk.",
        )
    if console is not None and free < needs.whole - there:
        console.warn(
            f"{folder.path}: {format_bytes(free)} free, but all files of the run may need "
            f"{format_bytes(needs.whole - there)}; raise run.snapshot to keep fewer models, or free some space"
        )


def smoke_test_step(
    folder: RunFolder, state: TrainingState, step: Callable[[], object], processes: Processes | None = None
) -> None:
    """Save the untrained state, run every phase once, then restore the state.

    The saved state is a real one: a run killed before its first snapshot goes on from it. One process alone reads it
    again. Several restore a copy in memory each, so that nothing has to be sent.
    """
    processes = processes or Processes()
    processes.from_main(lambda: folder.save(state))
    kept = copy_in_memory(state) if processes.world_size > 1 else None
    step()
    for optimizer in (state.g_optimizer, state.d_optimizer):
        optimizer.state.clear()
    restore(state, read_state(folder.state(state.images_seen)) if kept is None else kept)


def copies_of_g(recipe: Recipe) -> int:
    """How often a state has G's weights beside itself, its moments and its average: power-function EMAs, penalties."""
    return len(recipe.ema.power) + kept_copies(recipe)


def state_bytes(generator: nn.Module, discriminator: nn.Module, copies: int = 0) -> int:
    """Size of a state file: weights and two moments of both networks, G's average, and further copies of G."""
    return (4 + copies) * parameter_bytes(generator) + 3 * parameter_bytes(discriminator)


def parameter_bytes(network: nn.Module) -> int:
    """Bytes of a network's parameters, without its buffers."""
    return sum(parameter.nbytes for parameter in network.parameters())
