"""Writing a checkpoint that the original release can load."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swincli.errors import CheckpointError
from swincli.model.config_diff import DISCRIMINATOR_KEYS, differing_keys
from swincli.model.files.official import arguments as release
from swincli.model.files.official.adam import write_adam
from swincli.model.files.official.layout import Buffer, Layout, discriminator_layout, generator_layout, is_parameter
from swincli.model.files.official.reading import IMAGENET_MEAN, IMAGENET_STD
from swincli.model.files.snapshot import AdamState, Snapshot, Weights
from swincli.recipe.schema import ModelSection
from swincli.system.atomic_files import write_atomically
from swincli.units import format_lines

# Keys of [model] that the release's networks may take other values of than the paper's; shapes tell them.
TOLD_BY_SHAPES = {
    *("size", "latent_dim", "mapping_layers", "g_width", "g_multiplier", "g_channels", "d_width", "d_multiplier"),
    *("d_channels", "head_dim", "min_heads", "window", "mlp_ratio", "adain_gamma", "spectral_norm"),
    *("pixel_mean", "pixel_std"),
}
# Of these, what the release's command line or code can be given.
TOLD_BY_ARGUMENTS = ("size", "latent_dim", "g_multiplier", "d_multiplier", "spectral_norm")


def write_original(path: Path, snapshot: Snapshot) -> None:
    """Write the parts that a snapshot has, with every buffer that the release stores besides.

    A network trained in another pixel range than the release's has the difference folded into its tRGB layers, so that
    it gives the same pictures there.

    Raises:
        CheckpointError: the release has no such networks.
        ResourceError: the file cannot be written.
    """
    content = original_content(snapshot, path.stem)
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def original_content(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """The checkpoint as the release's `torch.load` returns it; `name` is that of the file, without its suffix."""
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


def unlike_the_release(model: ModelSection) -> list[str]:
    """Keys of [model] in which networks differ from all that the release's own code can build."""
    theirs = ModelSection(**{key: getattr(model, key) for key in TOLD_BY_ARGUMENTS})
    return [key for key in differing_keys(model, theirs) if not key.startswith("pixel_")]


def to_release_range(weights: Weights, model: ModelSection) -> Weights:
    """G's weights for images in the release's pixel range instead of the network's own.

    `(x * std + mean - release mean) / release std`, channel by channel: the factor on every tRGB layer, which are all
    linear and added up, and the rest on the last one's bias, which nothing resizes any more.
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
    """See that the release's form can hold the networks: the rest of the keys must be as in the paper."""
    model = snapshot.recipe.model
    keys = [key for key in differing_keys(model, ModelSection()) if key not in TOLD_BY_SHAPES]
    if snapshot.discriminator is None:
        keys = [key for key in keys if key not in DISCRIMINATOR_KEYS]
    elif (model.pixel_mean, model.pixel_std) != (IMAGENET_MEAN, IMAGENET_STD):
        keys += ["pixel_mean", "pixel_std"]  # D's first layers cannot be brought to another range
    if keys:
        listed = format_lines(f"model.{key} = {getattr(model, key)!r}" for key in keys)
        raise CheckpointError(
            f"the original release has no networks like these\n{listed}", "They live on in the .safetensors file."
        )


def _reorder(layout: Layout, state: AdamState | None) -> Layout:
    """The layout with its parameters in the order in which the optimiser numbers them; buffers stay in their places."""
    own = [entry for entry in layout.values() if isinstance(entry, str) and is_parameter(entry)]
    if state is None or state.order == own:
        return layout
    theirs = {entry: key for key, entry in layout.items() if isinstance(entry, str)}
    following = iter(state.order)
    entries = [next(following) if entry in own else entry for entry in layout.values()]
    return {theirs[entry] if isinstance(entry, str) else key: entry for key, entry in zip(layout, entries, strict=True)}


def _state_dict(weights: Weights, layout: Layout, built: dict[Buffer, Tensor]) -> dict[str, Tensor]:
    """One network's entries; equal buffers are one tensor, so that the masks of 1024 px networks are stored once."""
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
    """The arguments that the checkpoint had, or such as would train these networks; noting the images seen where the
    file would not tell them."""
    recipe, seen, adam = snapshot.recipe, snapshot.images_seen, snapshot.g_optimizer
    arguments = snapshot.arguments or release.arguments_of(recipe, seen)
    steps = adam.steps if adam else 0
    told = {release.images_seen(stem, arguments, steps, recipe.train.batch) for stem in (name, "renamed")}
    return arguments if told == {seen} else arguments | {release.IMAGES_SEEN: seen}
