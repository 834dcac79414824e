"""Whether training may go on, or start, in a folder: the same run, or a folder without files that are in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swincli.console import Console
from swincli.errors import CheckpointError, RecipeError, TrainingError
from swincli.model.files.model_file import recipe_of_model
from swincli.recipe import Recipe, dump_recipe
from swincli.training.run.state import check_backbone, recipe_of

# Keys that may change when a run is resumed: its length and its outputs. All others define the experiment.
CHANGEABLE_KEYS = (
    "train.total",
    "train.decay_from",
    "data.path",
    "data.source",
    "data.captions",
    "data.crop",
    "data.filter",
    "data.labels",
    "data.resident",
    "ema.power_every",
)
CHANGEABLE_SECTIONS = ("run", "evaluate")
OTHER_VERSION = "Another version of swincli wrote it: resume the run with that version."
RECIPE_HEADER = "# Written by swincli train: the recipe of this run with every key.\n"
_FILES = ("stats.jsonl", "metrics.jsonl", "reals.png", "environment.txt", "samples/fakes-*.png", "model-*.safetensors")


def check_same_run(content: dict[str, Any], path: Path, recipe: Recipe, data_hash: str, console: Console) -> None:
    """Compare the recipe of a state with the current one, and print changed keys that may change.

    Raises:
        RecipeError: keys differ that may not change; it lists all of them.
        CheckpointError: the state's recipe has keys or values that this version does not know, or its D looked through
            other weights.
    """
    before = _recipe_of(content, path)
    check_backbone(content, path)
    for name, (old, value) in _differences(before, recipe).items():
        if _may_change(name):
            console.say(f"{name} changed from {old} to {value}")
    problems = [
        f"{name}: {value!r} now, {old!r} in the run" for name, (old, value) in fixed_differences(before, recipe).items()
    ]
    if content["data_hash"] != data_hash:
        problems.append("data.path: the images differ from those that the run was trained on")
    if problems:
        raise RecipeError(
            f"{path.parent}: resuming with this recipe",
            problems,
            f"Give another --out to start a new run; the run's recipe is {path.parent / 'recipe.toml'}.",
        )


def _recipe_of(content: dict[str, Any], path: Path) -> Recipe:
    try:
        return recipe_of(content, path)
    except RecipeError as error:  # written by a later version
        raise CheckpointError(error.message, OTHER_VERSION) from error


def check_new_run(folder: Path, recipe: Recipe) -> None:
    """Check that a new run in a folder without training states overwrites nothing but its own first files.

    A session that was killed before its first state leaves a recipe, logs and at most one model; the same command
    writes them again.

    Raises:
        TrainingError: the folder holds a file that training would overwrite and that is not of such a session.
    """
    if not _is_own_recipe(folder / "recipe.toml", recipe):
        found = [path for name in ("recipe.toml", *_FILES) for path in folder.glob(name)]
        if found:
            raise TrainingError(
                f"{found[0]}: exists, and is not of a run; training would overwrite it",
                "Give another --out, such as a new folder.",
            )
    models = sorted(folder.glob("model-*.safetensors"))
    if len(models) > 1 or (models and not _is_of(models[0], recipe)):
        raise TrainingError(
            f"{folder}: holds models, such as {models[-1].name}, but no training state to go on from; "
            "a new run would overwrite them",
            f"Give another --out. To start from the newest model, add --set train.init={models[-1]}",
        )


def _is_own_recipe(path: Path, recipe: Recipe) -> bool:
    """Whether a `recipe.toml` was written by a run, or is what this run writes; earlier versions wrote no header."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return text.startswith(RECIPE_HEADER) or text == dump_recipe(recipe)


def _is_of(model: Path, recipe: Recipe) -> bool:
    """Whether a model was trained by this recipe, apart from keys that may change within a run."""
    try:
        return not fixed_differences(recipe_of_model(model), recipe)
    except (CheckpointError, RecipeError):
        return False


def _differences(before: Recipe, now: Recipe) -> dict[str, tuple[Any, Any]]:
    """Both values of all keys that differ, by `section.key`."""
    old = before.model_dump()
    return {
        f"{section}.{key}": (old[section][key], value)
        for section, keys in now.model_dump().items()
        for key, value in keys.items()
        if old[section][key] != value
    }


def fixed_differences(before: Recipe, now: Recipe) -> dict[str, tuple[Any, Any]]:
    """Both values of all keys that differ and may not change within a run, by `section.key`."""
    return {name: values for name, values in _differences(before, now).items() if not _may_change(name)}


def _may_change(name: str) -> bool:
    return name.split(".")[0] in CHANGEABLE_SECTIONS or name in CHANGEABLE_KEYS
