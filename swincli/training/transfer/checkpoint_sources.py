"""Reading what `train.init` names: a run or its state, a model of ours, or an original checkpoint; nothing is unpickled
that could run code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swincli.console import Console
from swincli.errors import CheckpointError, RecipeError
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import check_fit, read_snapshot
from swincli.model.files.snapshot import AdamState, Snapshot, Weights
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.training.run.folder import RunFolder, read_whole_state
from swincli.training.run.state import is_state, recipe_of
from swincli.training.step.freeze_d import trained_parameters


@dataclass(frozen=True)
class StartingPoint:
    """All that a new run may take over.

    Attributes:
        path: The file that it was read from.
        snapshot: Networks, average and moments, as far as the file holds them.
        power: Power-function averages by width.
    """

    path: Path
    snapshot: Snapshot
    power: dict[float, Weights] = field(default_factory=dict)


def read_starting_point(text: str, console: Console, *, mapped: bool = False) -> StartingPoint:
    """Read a checkpoint: of a run folder the newest state that can be read, or where it has none its newest model.

    Args:
        text: A run folder, a state, a .safetensors model, or an original .pt.
        console: Told of states that are damaged and passed over.
        mapped: Leave a state's tensors on the disk until they are used.

    Raises:
        CheckpointError: there is no such file, or it is damaged.
    """
    newest = RunFolder(Path(text)).newest_state(console, mapped=mapped)
    if newest is not None:
        return _of_state(*newest)
    path = find_checkpoint(text)
    if is_state(path):
        return _of_state(path, read_whole_state(path, mapped=mapped))
    return StartingPoint(path, read_snapshot(path))


def _of_state(path: Path, content: dict[str, Any]) -> StartingPoint:
    try:
        recipe = recipe_of(content, path)
    except RecipeError as error:  # keys and values of a later version
        raise CheckpointError(error.message, "Another version of swincli wrote it.") from error
    with meta_init():
        generator, discriminator = Generator(recipe.model), make_discriminator(recipe.model)
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
            _name_moments(content["g_optimizer"], [name for name, _ in generator.named_parameters()]),
            _name_moments(content["d_optimizer"], d_names),
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: {error!r}") from error
    return StartingPoint(path, snapshot, power)


def _name_moments(content: dict[str, Any], names: list[str]) -> AdamState:
    """An optimiser's state by the names of the parameters that it numbers."""
    moments = {names[number]: dict(entry) for number, entry in content["state"].items()}
    return AdamState(moments, names, {})
