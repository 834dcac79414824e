"""Starting a run from a checkpoint (`train.init`): continue its training, or fine-tune it on other images."""

from __future__ import annotations

import json
import shlex

from swincli.console import Console
from swincli.errors import CheckpointError, RecipeError
from swincli.model.config_diff import FEATURE_KEYS, differing_keys
from swincli.model.discriminators.frozen_features import looked_through
from swincli.model.files.ancestry import Step, with_parent
from swincli.recipe import Recipe
from swincli.recipe.attributes import spell_table
from swincli.recipe.schema import ModelSection
from swincli.training.run.state import TrainingState, has_finite_weights
from swincli.training.step.optimizers import load_moments
from swincli.training.transfer.checkpoint_sources import InitCheckpoint, read_init_checkpoint
from swincli.training.transfer.matching_weights import load_matching
from swincli.training.transfer.penalty_sources import read_repelled

FINE_TUNE = "fine-tune"
CHANGED_BY_FINE_TUNING = {"attributes", "classes", "std_group"}  # keys of [model] that may differ from the checkpoint's


def init_from_checkpoint(state: TrainingState, checkpoint: str, console: Console) -> None:
    """Load a checkpoint into a new training state; learning rates and betas stay the recipe's.

    "continue" also loads Adam's moments, the images seen, the power-function EMAs and what losses remember. "fine-tune"
    (`train.init_mode`) counts images from 0 with new moments. If the checkpoint has no G, its EMA is loaded into G.
    Parts that the checkpoint does not have start untrained, with a warning.

    Args:
        state: A new training state.
        checkpoint: Value of `train.init`.
        console: Where missing parts are reported.

    Raises:
        CheckpointError: the checkpoint cannot be read, or has weights that are not finite.
        RecipeError: its networks differ from the recipe's; or it has no D to freeze; or, with "continue", it has seen
            `train.total` images or more.
    """
    found = read_init_checkpoint(checkpoint, console)
    _check(state.recipe, found)
    _load_networks(state, found, console)
    for name, network in (("G", state.generator), ("D", state.discriminator), ("G's average", state.average)):
        if not has_finite_weights(network):
            raise CheckpointError(f"{found.path}: the weights of {name} are not finite", "Give an earlier checkpoint.")
    console.say(_describe(state.recipe, found))
    step: Step = "fine-tune" if state.recipe.train.init_mode == FINE_TUNE else "init"
    judge = looked_through(found.snapshot.recipe)
    state.ancestors = with_parent(
        found.snapshot.ancestors,
        found.path,
        step,
        found.snapshot.images_seen,
        judge=None if judge is None else (judge.network, judge.sha256),
    )
    missing = [] if found.snapshot.discriminator is not None else ["D"]
    if state.recipe.train.init_mode != FINE_TUNE:
        _load_progress(state, found)
        moments = {"g_optim": "G's moments", "d_optim": "D's moments"}
        missing += [words for part, words in moments.items() if part not in found.snapshot.parts]
    if missing:
        console.warn(f"{found.path} has no {', '.join(missing)}: training starts with new ones")


def check_init(recipe: Recipe, console: Console) -> str | None:
    """Check the checkpoint of `train.init` without building a training state.

    Returns:
        The checkpoint in words; None if `train.init` is not set.

    Raises:
        CheckpointError, RecipeError: as for `init_from_checkpoint`.
    """
    if recipe.train.init is None:
        return None
    found = read_init_checkpoint(recipe.train.init, console, mapped=True)
    _check(recipe, found)
    if recipe.loss.repel:
        starts = [found.snapshot.average, *([found.snapshot.generator] if found.snapshot.generator else [])]
        read_repelled(recipe, starts, console, mapped=True)
    return _describe(recipe, found)


def _load_networks(state: TrainingState, found: InitCheckpoint, console: Console) -> None:
    """Load G, D and the EMA; with other classes or heads only the layers that match, and report the others."""
    snapshot = found.snapshot
    new = [f"G's {part}" for part in load_matching(state.average, snapshot.average)]
    load_matching(state.generator, snapshot.average if snapshot.generator is None else snapshot.generator)
    if snapshot.discriminator is not None:
        new += [f"D's {part}" for part in load_matching(state.discriminator, snapshot.discriminator)]
    for average in state.power:  # the best guess at the EMAs' past
        average.load_state_dict(state.average.state_dict())
    if new:
        now, then = state.recipe.model, snapshot.recipe.model
        same = (now.classes, now.attributes) == (then.classes, then.attributes)
        reason = f"not in {found.path}" if same else f"{_labels(now)} here, {_labels(then, short=True)} in {found.path}"
        console.say(f"{reason}: {', '.join(new)} start untrained")


def _labels(model: ModelSection, *, short: bool = False) -> str:
    if model.attributes:
        return f"attributes {spell_table(model.attribute_kinds)}"
    return str(model.classes) if short else f"{model.classes} classes"


def _load_progress(state: TrainingState, found: InitCheckpoint) -> None:
    """Load the images seen, Adam's moments, the recipe's power-function EMAs, and what losses remember."""
    snapshot = found.snapshot
    try:
        if snapshot.g_optimizer is not None:
            load_moments(state.g_optimizer, state.generator, snapshot.g_optimizer)
        if snapshot.d_optimizer is not None and snapshot.discriminator is not None:
            load_moments(state.d_optimizer, state.discriminator, snapshot.d_optimizer)
        state.memory.load_state_dict(found.memory)
    except ValueError as error:
        raise CheckpointError(f"{found.path}: {error}") from error
    for width, average in zip(state.recipe.ema.power, state.power, strict=True):
        weights = found.power.get(width)
        if weights is not None:
            average.load_state_dict(weights)
    state.images_seen = snapshot.images_seen


def _describe(recipe: Recipe, found: InitCheckpoint) -> str:
    seen = found.snapshot.images_seen
    if recipe.train.init_mode == FINE_TUNE:
        return f"fine-tuning {found.path}, trained on {seen:,} images; images are counted from 0"
    return f"starting from {found.path}, trained on {seen:,} images"


def _check(recipe: Recipe, found: InitCheckpoint) -> None:
    snapshot, train, tuning = found.snapshot, recipe.train, recipe.train.init_mode == FINE_TUNE
    now, then = recipe.model, snapshot.recipe.model
    keys = differing_keys(now, then, discriminator=snapshot.discriminator is not None)
    problems, hint = [], ""
    if tuning:
        keys = [key for key in keys if key not in CHANGED_BY_FINE_TUNING]
    if "features" not in (now.discriminator, then.discriminator) and not snapshot.recipe.loss.features:
        keys = [key for key in keys if key not in FEATURE_KEYS]  # the checkpoint has no D of these
    if keys:
        problems = [f"model.{key}: {_text(now, key)} here, {_text(then, key)} in {found.path}" for key in keys]
        settings = " ".join(f"--set {shlex.quote(f'model.{key}={_text(then, key)}')}" for key in keys)
        hint = f"Use the values of the checkpoint: {settings}"
        if set(keys) <= CHANGED_BY_FINE_TUNING:
            hint += "; or keep yours and fine-tune: --set train.init_mode=fine-tune"
    elif train.freeze_d and snapshot.discriminator is None:
        problems = [f"train.freeze_d: is {train.freeze_d}, but {found.path} has no D to freeze"]
        hint = "Set train.freeze_d=0, or start from a state, which has D: a run folder or its state-*.pt."
    elif recipe.loss.elastic and snapshot.discriminator is None:
        problems = [f"loss.elastic: {found.path} has no D, whose gradients say which weights matter"]
        hint = "Start from a state, which has D: a run folder or its state-*.pt."
    elif not tuning and _has_other_buffer(recipe, found):
        then_buffer = snapshot.recipe.loss.mee_buffer
        problems = [f"{recipe.named('loss.mee_buffer')}: {recipe.loss.mee_buffer} here, {then_buffer} in {found.path}"]
        hint = (
            f"Go on with its features: --set loss.mee_buffer={then_buffer}; or keep yours and fine-tune: "
            "--set train.init_mode=fine-tune"
        )
    elif not tuning and snapshot.images_seen >= train.total:
        problems = [f"train.total: is {train.total:,} images, but {found.path} has seen {snapshot.images_seen:,}"]
        hint = (
            "Raise train.total, which includes them; or fine-tune on other images, counted from 0: "
            "--set train.init_mode=fine-tune"
        )
    if problems:
        raise RecipeError("train.init", problems, hint)


def _has_other_buffer(recipe: Recipe, found: InitCheckpoint) -> bool:
    """Whether the checkpoint brings earlier features for MEE's entropy, of another number."""
    now, then = recipe.loss, found.snapshot.recipe.loss
    both = now.mee_entropy > 0 and then.mee_entropy > 0 and bool(found.memory)
    return both and now.mee_buffer != then.mee_buffer


def _text(model: ModelSection, key: str) -> str:
    """A key's value as `--set` reads it."""
    value = getattr(model, key)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(name)} = {json.dumps(each)}' for name, each in value.items())}}}"
    return json.dumps(value)
