"""A run on the disk: where its files lie, which state is the newest good one, and what differs from the recipe now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swincli.console import Console
from swincli.errors import CheckpointError, RecipeError
from swincli.files import write_atomically
from swincli.model.weights import model_name, save_model
from swincli.recipe import Recipe, dump_recipe
from swincli.training.state import TrainingState, read_state, recipe_of, save_state

# What may change between two sessions of a run: how long it goes on, and what it writes. The rest makes it another run.
FREE_KEYS = (
    "train.total",
    "train.decay_from",
    "data.path",
    "data.source",
    "data.crop",
    "data.filter",
    "ema.power_every",
)
FREE_SECTIONS = ("run", "evaluate")


class RunFolder:
    """The files of one run under one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def stats(self) -> Path:
        """One JSON object a line: statistics by images seen."""
        return self.path / "stats.jsonl"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: metrics by images seen."""
        return self.path / "metrics.jsonl"

    def samples(self, images_seen: int) -> Path:
        """The grid of the fixed latents after so many images."""
        return self.path / "samples" / f"fakes-{images_seen:012d}.png"

    def state(self, images_seen: int) -> Path:
        """The training state after so many images."""
        return self.path / f"state-{images_seen:012d}.pt"

    def model(self, images_seen: int) -> Path:
        """The model after so many images."""
        return self.path / model_name(images_seen)

    def states(self) -> list[Path]:
        """Training states, the newest first."""
        return sorted(self.path.glob("state-*.pt"), reverse=True)

    def prepare(self, recipe: Recipe) -> None:
        """Make the folder and write the resolved recipe; leftovers of writes that a kill cut short are removed."""
        text = dump_recipe(recipe)
        write_atomically(self.path / "recipe.toml", lambda path: path.write_text(text, encoding="utf-8"))
        for leftover in [*self.path.glob(".*.partial-*"), *self.path.glob("samples/.*.partial-*")]:
            leftover.unlink(missing_ok=True)

    def save(self, state: TrainingState) -> Path:
        """Write the model, then the state, and prune old states; returns the model's path.

        The state comes last: a kill between the two leaves the older state in force, and the model is written again.
        """
        model = self.model(state.images_seen)
        save_model(model, state.average, state.recipe, state.images_seen, state.classes)
        save_state(self.state(state.images_seen), state)
        for old in self.states()[state.recipe.run.keep :]:
            old.unlink()
        return model

    def newest_state(self, console: Console) -> tuple[Path, dict[str, Any]] | None:
        """The newest state that can be read; damaged ones are named and passed over.

        Raises:
            CheckpointError: there are states, and none can be read.
        """
        states = self.states()
        for path in states:
            try:
                return path, read_state(path)
            except CheckpointError as error:
                console.warn(f"{error.message}; trying the state before it")
        if states:
            raise CheckpointError(f"{self.path}: no training state can be read", "Remove the folder to start afresh.")
        return None

    def truncate_logs(self, images_seen: int) -> None:
        """Drop what was logged after the state that training goes on from."""
        for log in (self.stats, self.metrics):
            if not log.exists():
                continue
            kept = [line for line in log.read_text(encoding="utf-8").splitlines() if _seen(line) <= images_seen]
            text = "".join(f"{line}\n" for line in kept)
            write_atomically(log, lambda path, text=text: path.write_text(text, encoding="utf-8"))  # type: ignore[misc]


def _seen(line: str) -> float:
    try:
        return float(json.loads(line)["images_seen"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line that a kill cut short


def check_same_run(content: dict[str, Any], path: Path, recipe: Recipe, data_hash: str, console: Console) -> None:
    """Compare what a state was trained with to what is asked for now, and say which horizons have changed.

    Raises:
        RecipeError: keys differ that would make it another run; it lists them all.
    """
    before, now = recipe_of(content, path).model_dump(), recipe.model_dump()
    problems = []
    for section, keys in now.items():
        for key, value in keys.items():
            name, old = f"{section}.{key}", before[section][key]
            if old == value:
                continue
            if section in FREE_SECTIONS or name in FREE_KEYS:
                console.say(f"{name} changed from {old} to {value}")
            else:
                problems.append(f"{name}: {value!r} now, {old!r} in the run")
    if content["data_hash"] != data_hash:
        problems.append("data.path: the images are not those that the run was trained on")
    if problems:
        raise RecipeError(
            f"{path.parent}: cannot be continued with this recipe", problems, "Give another --out to start a new run."
        )
