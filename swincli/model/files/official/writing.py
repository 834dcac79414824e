"""Write a checkpoint that the original release can load."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swincli.errors import CheckpointError
from swincli.model.config_diff import BY_RESOLUTION, DISCRIMINATOR_KEYS, differing_keys
from swincli.model.files.official import arguments as release
from swincli.model.files.official.adam import write_adam
from swincli.model.files.official.layout import Buffer, Layout, discriminator_layout, generator_layout, is_parameter
from swincli.model.files.official.reading import IMAGENET_MEAN, IMAGENET_STD
from swincli.model.files.snapshot import AdamState, Snapshot, Weights
from swincli.recipe.schema import ModelSection
from swincli.system.atomic_files import write_atomically
from swincli.units import format_lines

# Keys of [model] that may differ from the paper's values: the release's weights determine them by their shapes.
KEYS_FROM_SHAPES = {
    *("size", "latent_dim", "mapping_layers", "g_width", "g_multiplier", "g_channels", "d_width", "d_multiplier"),
    *("d_channels", "head_dim", "min_heads", "window", "mlp_ratio", "adain_gamma", "spectral_norm"),
    *("pixel_mean", "pixel_std"),
}
# Of these, the keys that the release's command line can set.
KEYS_FROM_ARGUMENTS = ("size", "latent_dim", "g_multiplier", "d_multiplier", "spectral_norm")


def write_original(path: Path, snapshot: Snapshot) -> None:
    """Write all parts of a snapshot, with the buffers that the release stores too.

    If the network was trained in another pixel range than the release's, its tRGB layers are changed so that it gives
    the same images there.

    Raises:
        CheckpointError: the release's format cannot hold these networks.
        ResourceError: the file cannot be written.
    """
    content = original_content(snapshot, path.stem)
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def original_content(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """The checkpoint as the release's `torch.load` returns it; `name` is the file name without its suffix."""
    model = snapshot.recipe.model
    _check(snapshot)
    g_layout, built = generator_layout(model), dict[Buffer, Tensor]()
    g_layout = _reorder(g_layout, snapshot.g_optimizer)
    content: dict[str, Any] = {}
    if snapshot.generator is not None:
        content["g"] = _state_dict(snapshot.generator, g_layout, built)
    if snapshot.discriminator is not None:
        d_layout = _reorder(discriminator_layout(model), snapshot.d_optimizer)
        content["d"] = _state_dict(snapshot.discriminator, d_layout, built)
    content["g_ema"] = _state_dict(to_release_range(snapshot.average, model), g_layout, built)
    for part, state in (("g_optim", snapshot.g_optimizer), ("d_optim", snapshot.d_optimizer)):
        if state is not None:
            content[part] = write_adam(state)
    content["args"] = argparse.Namespace(**_arguments(snapshot, name))
    return content


def unsupported_by_release(model: ModelSection) -> list[str]:
    """Keys of [model] whose values the release's code cannot build, although its file format can hold them."""
    theirs = ModelSection(**{key: getattr(model, key) for key in KEYS_FROM_ARGUMENTS})
    return [key for key in differing_keys(model, theirs) if not key.startswith("pixel_")]


def to_release_range(weights: Weights, model: ModelSection) -> Weights:
    """G's weights, changed to give images in the release's pixel range.

    Per channel: `(x * std + mean - release mean) / release std`. The tRGB layers are linear and their results are
    added, so every layer gets the factor. The last bias gets the offset: its result is not resized any more.
    """
    if (model.pixel_mean, model.pixel_std) == (IMAGENET_MEAN, IMAGENET_STD):
        return weights
    mean, std, their_mean, their_std = (
        torch.tensor(values, dtype=torch.float64)
        for values in (model.pixel_mean, model.pixel_std, IMAGENET_MEAN, IMAGENET_STD)
    )
    folded = dict(weights)
    last = len(model.resolutions) - 1
    for level in range(last + 1):
        for end, shape in (("conv.weight", (3, 1, 1, 1)), ("conv.bias", (3,)), ("bias", (1, 3, 1, 1))):
            name = f"levels.{level}.to_rgb.{end}"
            value = weights[name].double() * (std / their_std).view(shape)
            if level == last and end == "bias":
                value = value + ((mean - their_mean) / their_std).view(shape)
            folded[name] = value.float()
    return folded


def _check(snapshot: Snapshot) -> None:
    """Check that the release's format can hold the networks: all other keys must have the paper's values."""
    model = snapshot.recipe.model
    keys = [key for key in differing_keys(model, ModelSection()) if key not in KEYS_FROM_SHAPES]
    keys += [key for key in BY_RESOLUTION if key in KEYS_FROM_SHAPES and isinstance(getattr(model, key), dict)]
    if snapshot.discriminator is None:
        keys = [key for key in keys if key not in DISCRIMINATOR_KEYS]
    elif (model.pixel_mean, model.pixel_std) != (IMAGENET_MEAN, IMAGENET_STD):
        keys += ["pixel_mean", "pixel_std"]  # D's first layers cannot be changed to another range
    if keys:
        listed = format_lines(f"model.{key} = {getattr(model, key)!r}" for key in keys)
        raise CheckpointError(
            f"the original release has no such networks\n{listed}", "Keep the .safetensors file for them."
        )


def _reorder(layout: Layout, state: AdamState | None) -> Layout:
    """The layout with its parameters in the optimiser's order; buffers stay in their places."""
    ours = [entry for entry in layout.values() if isinstance(entry, str) and is_parameter(entry)]
    if state is None or state.order == ours:
        return layout
    theirs = {entry: key for key, entry in layout.items() if isinstance(entry, str)}
    ordered = iter(state.order)
    entries = [next(ordered) if entry in ours else entry for entry in layout.values()]
    return {theirs[entry] if isinstance(entry, str) else key: entry for key, entry in zip(layout, entries, strict=True)}


def _state_dict(weights: Weights, layout: Layout, built: dict[Buffer, Tensor]) -> dict[str, Tensor]:
    """The state dict of one network. Equal buffers share one tensor, so that the masks at 1024 px are stored once."""
    state = {}
    for key, entry in layout.items():
        if isinstance(entry, Buffer):
            if entry not in built:
                built[entry] = entry.build()
            state[key] = built[entry]
        else:
            state[key] = weights[entry].clone()
    return state


def _arguments(snapshot: Snapshot, name: str) -> release.Arguments:
    """The arguments of the original checkpoint, or arguments that train these networks.

    The number of images seen is added if the file would not give it.
    """
    recipe, seen, adam = snapshot.recipe, snapshot.images_seen, snapshot.g_optimizer
    arguments = snapshot.arguments or release.arguments_of(recipe, seen)
    steps = adam.steps if adam else 0
    derived = {release.images_seen(stem, arguments, steps, recipe.train.batch) for stem in (name, "renamed")}
    return arguments if derived == {seen} else arguments | {release.IMAGES_SEEN: seen}
