"""Reading the checkpoint of `train.init`: run or state, swincli model, original `.pt`. Never runs pickled code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swincli.console import Console
from swincli.errors import CheckpointError, RecipeError
from swincli.model.files.ancestry import read_ancestors
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import check_fit, read_snapshot
from swincli.model.files.snapshot import Snapshot, Weights
from swincli.model.meta_init import meta_init
from swincli.training.run.folder import RunFolder, read_verified_state
from swincli.training.run.state import check_backbone, is_state, make_networks, recipe_of
from swincli.training.step.freeze_d import trained_parameters
from swincli.training.step.optimizers import name_moments


@dataclass(frozen=True)
class InitCheckpoint:
    """Everything that a new run can load from a checkpoint.

    Attributes:
        path: The file.
        snapshot: Networks, EMA and Adam moments, as far as the file has them.
        power: Power-function EMAs by width.
        memory: What losses and augmentation remember, such as the probability of transforms.
    """

    path: Path
    snapshot: Snapshot
    power: dict[float, Weights] = field(default_factory=dict)
    memory: Weights = field(default_factory=dict)


def read_init_checkpoint(text: str, console: Console, *, mapped: bool = False) -> InitCheckpoint:
    """Read a checkpoint. A run folder stands for its newest undamaged state, or else its newest model.

    Args:
        text: A run folder, a state, a .safetensors model, or an original .pt.
        console: Where damaged states are reported.
        mapped: Memory-map the tensors of a state instead of reading them.

    Raises:
        CheckpointError: there is no such file, or it is damaged.
    """
    newest = RunFolder(Path(text)).newest_state(console, mapped=mapped)
    if newest is not None:
        return _of_state(*newest)
    path = find_checkpoint(text)
    if is_state(path):
        return _of_state(path, read_verified_state(path, mapped=mapped))
    return InitCheckpoint(path, read_snapshot(path))


def _of_state(path: Path, content: dict[str, Any]) -> InitCheckpoint:
    try:
        recipe = recipe_of(content, path)
    except RecipeError as error:  # written by a later version
        raise CheckpointError(error.message, "Another version of swincli wrote it.") from error
    check_backbone(content, path)
    with meta_init():
        generator, discriminator = make_networks(recipe)
    power = dict(zip(recipe.ema.power, content.get("power", []), strict=False))
    try:
        for network, weights in (
            (generator, content["average"]),
            (generator, content["generator"]),
            (discriminator, content["discriminator"]),
            *((generator, weights) for weights in power.values()),
        ):
            check_fit(path, network, weights)
        trained = set(trained_parameters(discriminator, recipe.train.freeze_d))
        d_names = [name for name, parameter in discriminator.named_parameters() if parameter in trained]
        snapshot = Snapshot(
            recipe,
            int(content["images_seen"]),
            content["average"],
            content["generator"],
            content["discriminator"],
            name_moments(content["g_optimizer"], [name for name, _ in generator.named_parameters()]),
            name_moments(content["d_optimizer"], d_names),
            ancestors=read_ancestors(content),
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: {error!r}") from error
    return InitCheckpoint(path, snapshot, power, content.get("memory", {}))
