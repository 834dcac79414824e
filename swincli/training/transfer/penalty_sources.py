"""What penalties on G's weights compare with, filled in once at the start of a run: Fisher information, other models.

All of it goes into the state's memory, so a resumed run needs neither the checkpoint nor the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import CheckpointError, RecipeError, ResourceError
from swincli.model.blocks.conditioning import forward_with_labels
from swincli.model.config_diff import differing_keys
from swincli.model.files.ancestry import with_parent
from swincli.model.files.file_hash import model_identity
from swincli.recipe import Recipe
from swincli.training.losses.memory import scalar
from swincli.training.losses.weight_penalties import (
    ALPHA,
    FISHER,
    REPELLED,
    REPULSIONS,
    SPREAD,
    START,
    Weights,
    distance,
    fisher_information,
    middle,
    only_synthesis,
    synthesis_weights,
)
from swincli.training.rng import derive
from swincli.training.run.state import TrainingState
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.labels import labels_at
from swincli.training.transfer.checkpoint_sources import InitCheckpoint, read_init_checkpoint

FISHER_IMAGES = 64
"""Generated images of the Fisher estimate."""
ONLY_LABELS = {"attributes", "classes", "std_group"}
"""Keys of [model] that leave the synthesis network as it is."""
STEP = 0.01  # by which all weights move in the example that is printed


def prepare_penalties(state: TrainingState, store: Store, console: Console) -> None:
    """Fill in what the penalties of a new run compare with, and print their sizes.

    Args:
        state: Just loaded from `train.init`; its memory and its ancestors change.
        store: Labels of training images, for models with labels.
        console: Where the sizes go.

    Raises:
        RecipeError: a model of `loss.repel_models` cannot be read, has other networks, or is the start.
    """
    if state.recipe.loss.elastic:
        _prepare_elastic(state, store, console)
    if state.recipe.loss.repel:
        _prepare_repulsion(state, console)


def _prepare_elastic(state: TrainingState, store: Store, console: Console) -> None:
    weights = synthesis_weights(state.generator)
    fisher = estimate_fisher(state, store)
    for name, weight in weights.items():
        state.memory.values[START + name] = weight.detach().clone()
        state.memory.values[FISHER + name] = fisher[name]
    count, total = (
        sum(weight.numel() for weight in weights.values()),
        float(sum(value.sum() for value in fisher.values())),
    )
    moved = state.recipe.loss.elastic * total * STEP**2 / 2
    console.say(
        f"loss.elastic: Fisher information of {FISHER_IMAGES} images, mean {total / count:.3g} over {count:,} weights; "
        f"if all move by {STEP}, the penalty is {moved:.3g}"
    )


def estimate_fisher(state: TrainingState, store: Store) -> dict[str, Tensor]:
    """The Fisher information of G's synthesis weights under D, a function of the seed, float32, by name.

    D sees one group of the minibatch standard deviation at a time. Both networks are in evaluation mode, so nothing of
    them changes.
    """
    weights = synthesis_weights(state.generator)
    networks = (state.generator, state.discriminator)
    modes = [network.training for network in networks]
    for network in networks:
        network.eval()
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        return fisher_information(_logits(state, store), weights)
    finally:
        for weight in weights.values():
            weight.requires_grad_(False)
        for network, mode in zip(networks, modes, strict=True):
            network.train(mode)


def _logits(state: TrainingState, store: Store) -> Iterator[Tensor]:
    """D's logits of generated images, group by group."""
    recipe, device = state.recipe, next(state.generator.parameters()).device
    group, random = split_batch(recipe, 1).group, derive(recipe.train.seed, "fisher")
    for _ in range(-(-FISHER_IMAGES // group)):
        z = torch.randn(group, recipe.model.latent_dim, generator=random).to(device)
        drawn = torch.randint(len(store), (group,), generator=random).numpy().astype(np.int64)
        labels = labels_at(recipe.model, store, drawn)
        labels = None if labels is None else labels.to(device)
        yield forward_with_labels(state.discriminator, forward_with_labels(state.generator, z, labels), labels)


def _prepare_repulsion(state: TrainingState, console: Console) -> None:
    recipe, memory = state.recipe, state.memory
    models = read_repelled(recipe, [state.generator.state_dict(), state.average.state_dict()], console)
    for found in models:
        seen = found.snapshot.images_seen
        state.ancestors = with_parent(state.ancestors, found.path, "repel", seen)
    weights = {name: weight.detach() for name, weight in synthesis_weights(state.generator).items()}
    mean, spread = middle([_on(only_synthesis(found.snapshot.average), weights) for found in models])
    d2 = float(distance(weights, mean)) + spread
    alpha = 1 / d2 if recipe.loss.repel_alpha is None else recipe.loss.repel_alpha
    memory.values |= {f"{REPELLED}{name}": value for name, value in mean.items()}
    memory.values |= {SPREAD: scalar(spread), ALPHA: scalar(alpha)}
    value = float(REPULSIONS[recipe.loss.repel_form](torch.tensor(d2), alpha))
    told = f", alpha {alpha:.3g}" if recipe.loss.repel_form == "exponential" else ""
    console.say(f"loss.repel: d2 {d2:.3g}{told}; the repulsion starts at {recipe.loss.repel * value:.3g}")


def _on(weights: Weights, like: Weights) -> dict[str, Tensor]:
    """Weights with the type and the device of others."""
    return {name: weights[name].to(value) for name, value in like.items()}


def read_repelled(
    recipe: Recipe, starts: Sequence[Weights], console: Console, *, mapped: bool = False
) -> list[InitCheckpoint]:
    """The models of `loss.repel_models`, of which the EMA counts.

    Args:
        recipe: The experiment.
        starts: State dicts of G that the run starts from.
        console: Where damaged states are reported.
        mapped: Memory-map the tensors of states instead of reading them.

    Raises:
        RecipeError: one cannot be read, has other networks, or has the weights of the start.
    """
    found = []
    for text in recipe.loss.repel_models:
        try:
            model = read_init_checkpoint(text, console, mapped=mapped)
        except CheckpointError as error:
            raise _error(error.message, error.hint or "Give a run folder or a model file.") from error
        now, then = recipe.model, model.snapshot.recipe.model
        keys = [key for key in differing_keys(now, then, discriminator=False) if key not in ONLY_LABELS]
        if keys:
            values = "; ".join(f"model.{key} is {getattr(now, key)} here, {getattr(then, key)} there" for key in keys)
            raise _error(
                f"{model.path} has other networks: {values}", "Repel from a model that was tuned from the same."
            )
        other = only_synthesis(model.snapshot.average)
        if any(_equal(other, start) for start in starts):
            raise _error(
                f"{model.path} has the weights of train.init, so there is no way from it",
                "Tune a copy on what it should forget first; see docs/guides/forget.md.",
            )
        found.append(model)
    return found


def _equal(some: Weights, start: Weights) -> bool:
    return all(torch.equal(value, start[name].to(value)) for name, value in some.items())


def _error(problem: str, hint: str) -> RecipeError:
    return RecipeError("the recipe", [f"loss.repel_models: {problem}"], hint)


def report_changed_models(state: TrainingState, console: Console) -> None:
    """Warn of models of `loss.repel_models` that changed since the run began: it goes on with those of its start."""
    texts = state.recipe.loss.repel_models if state.recipe.loss.repel else []
    noted = [each for each in state.ancestors if each.step == "repel"][-len(texts) :] if texts else []
    for text, ancestor in zip(texts, noted, strict=False):
        try:
            identity = model_identity(read_init_checkpoint(text, Console(quiet=True), mapped=True).path)
        except (CheckpointError, ResourceError):  # the run does not need it any more
            continue
        if identity != ancestor.identity:
            console.warn(
                f"loss.repel_models: {Path(text)} has changed; the run goes on with {ancestor.name} "
                f"({ancestor.identity}), as it was at its start"
            )
