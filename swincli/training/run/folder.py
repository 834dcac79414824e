"""A run on the disk: where its files lie, which state is the newest good one, and what differs from the recipe now."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from swincli.console import Console
from swincli.errors import (
    CheckpointError,
    DataError,
    RecipeError,
    ResourceError,
    SwincliError,
    TrainingError,
    from_os_error,
)
from swincli.metrics.registry import METRICS
from swincli.model.files.find_checkpoint import model_name
from swincli.model.files.model_file import save_model
from swincli.recipe import Recipe, dump_recipe
from swincli.system.atomic_files import write_atomically
from swincli.training.run.state import TrainingState, is_state, read_state, recipe_of, save_state

# What may change between two sessions of a run: how long it goes on, and what it writes. The rest makes it another run.
FREE_KEYS = (
    "train.total",
    "train.decay_from",
    "data.path",
    "data.source",
    "data.crop",
    "data.filter",
    "data.resident",
    "ema.power_every",
)
FREE_SECTIONS = ("run", "evaluate")
_OTHER_VERSION = "The run was trained with another version of swincli: go on with that."


class RunFolder:
    """The files of one run under one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def recipe(self) -> Path:
        """The resolved recipe, the first file of a run."""
        return self.path / "recipe.toml"

    @property
    def reals(self) -> Path:
        """A grid of training images."""
        return self.path / "reals.png"

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
        write_atomically(self.recipe, lambda path: path.write_text(text, encoding="utf-8"))
        for leftover in self.path.rglob(".*.partial-*"):
            leftover.unlink(missing_ok=True)

    def check_there(self) -> None:
        """See that the folder is still where it was.

        It is never made anew while a run goes on: that would tear a run in two that was moved, and fill the wrong disk
        where one was unmounted.

        Raises:
            TrainingError: it is gone.
        """
        if not self.recipe.exists():
            raise TrainingError(
                f"{self.path} is gone: removed, moved or unmounted while training",
                "Bring it back, or give its new place as --out: the run goes on from the newest state in it.",
            )

    def save(self, state: TrainingState) -> Path:
        """Write the model, then the state, and prune old states; returns the model's path.

        The state comes last: a kill between the two leaves the older state in force, and the model is written again.

        Raises:
            TrainingError: the folder is gone.
            ResourceError: a file cannot be written.
        """
        self.check_there()
        model = self.model(state.images_seen)
        save_model(model, state.average, state.recipe, state.images_seen, state.classes)
        save_state(self.state(state.images_seen), state)
        _set_aside(self.state(state.images_seen)).unlink(missing_ok=True)
        self.prune(state.recipe)
        return model

    def prune(self, recipe: Recipe) -> None:
        """Remove states but for the `run.keep` newest, and that of the model which measured best."""
        best = self.best(recipe)
        for number, path in enumerate(self.states()):
            if number >= recipe.run.keep and (best is None or path != self.state(best[0])):
                path.unlink(missing_ok=True)

    def newest_state(self, console: Console, *, mapped: bool = False) -> tuple[Path, dict[str, Any]] | None:
        """The newest state that is whole; damaged ones are named and passed over.

        Args:
            console: Told of those.
            mapped: Leave the tensors on the disk until they are used.

        Raises:
            CheckpointError: there are states, and none can be read, or the newest is of another version.
        """
        states = self.states()
        for path in states:
            damage = _damage(path)
            if damage is None:
                return path, _read(path, mapped=mapped)
            console.warn(f"{damage}; trying the state before it")
        if states:
            raise CheckpointError(
                f"{self.path}: none of its {len(states)} training states can be read",
                "Start a new run with another --out; `--set train.init=MODEL` starts it from a model of this one.",
            )
        return None

    def rewind(self, images_seen: int, recipe: Recipe) -> None:
        """Make this the folder of a run after so many images, as training goes on from there.

        Later states could not be read: they are set aside, so that they never push a good one out of the `keep` newest.
        Earlier ones go that a killed session had no time to remove. What was logged later will be logged again.
        """
        for path in self.states():
            if path > self.state(images_seen):
                path.replace(_set_aside(path))
        self.prune(recipe)
        self.truncate_logs(images_seen)

    def truncate_logs(self, images_seen: int) -> None:
        """Drop what was logged after the state that training goes on from, and lines that a kill cut short."""
        for log in (self.stats, self.metrics):
            if not log.exists():
                continue
            before = log.read_text(encoding="utf-8", errors="replace")
            kept = [line for line in before.splitlines() if _seen(line) <= images_seen]
            text = "".join(f"{line}\n" for line in kept)
            if text != before:
                write_atomically(log, lambda path, text=text: path.write_text(text, encoding="utf-8"))  # type: ignore[misc]

    def measured_moments(self) -> set[int]:
        """Images seen at the moments that training itself has measured."""
        return {record["images_seen"] for record in self._measurements()}

    def best(self, recipe: Recipe) -> tuple[int, float] | None:
        """Which model is best by the first metric of `evaluate.metrics`: its images seen, and the value.

        Of what training has measured, only that counts which was measured like the newest: with as many images, and
        with the same reference and detector. What `swincli evaluate` has added does not.
        """
        metric = METRICS.get(recipe.evaluate.metrics[0].strip().lower()) if recipe.evaluate.metrics else None
        measurements = self._measurements()
        if metric is None or not measurements:
            return None
        values = {
            record["images_seen"]: float(record["metrics"][metric.headline])
            for record in measurements
            if _conditions(record) == _conditions(measurements[-1]) and metric.headline in record["metrics"]
        }
        finite = {images: value for images, value in values.items() if math.isfinite(value)}
        if not finite:
            return None
        images = (max if metric.higher_is_better else min)(finite, key=finite.__getitem__)
        return images, finite[images]

    def _measurements(self) -> list[dict[str, Any]]:
        """Lines of metrics.jsonl that training has written, but for one that a kill cut short."""
        found = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines() if self.metrics.exists() else []:
            with suppress(ValueError, KeyError, TypeError):
                record: dict[str, Any] = json.loads(line)
                if (
                    record["in_training"]
                    and int(record["images_seen"])
                    and dict(record["metrics"])
                    and _conditions(record)
                ):
                    found.append(record)
        return found

    @contextmanager
    def telling_last_state(self) -> Iterator[None]:
        """Add to an expected failure of the disk or the data where the run can go on once that is mended.

        Raises:
            SwincliError: what the block raises.
        """
        try:
            yield
        except (DataError, ResourceError, OSError) as caught:
            failure = caught if isinstance(caught, SwincliError) else from_os_error(caught, _place(caught))
            states = self.states()
            whole = (
                f"{states[0]} is whole: the same command goes on from there." if states else "No state was saved yet."
            )
            between = "\n" if "\n" in (failure.hint or "") else " "
            failure.hint = f"{failure.hint}{between}{whole}" if failure.hint else whole
            raise failure from caught


def read_whole_state(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a training state, and see that it is as it was written.

    Args:
        path: The file.
        mapped: Leave the tensors on the disk until they are used; the file is read through all the same.

    Raises:
        CheckpointError: it is damaged, something else, or of another version.
        ResourceError: it may not be read.
    """
    damage = _damage(path)
    if damage is not None:
        raise CheckpointError(damage)
    return _read(path, mapped=mapped)


def _read(state: Path, *, mapped: bool) -> dict[str, Any]:
    try:
        return read_state(state, mapped=mapped)
    except CheckpointError as error:  # it is whole, and a state
        raise CheckpointError(error.message, _OTHER_VERSION) from error


def _damage(state: Path) -> str | None:
    """What is wrong with a file, also by its checksums, which PyTorch writes and does not look at; None where it is a
    state as it was written, of whatever version.

    Raises:
        ResourceError: it may not be read.
    """
    try:
        with zipfile.ZipFile(state) as archive:
            broken = archive.testzip()
    except PermissionError as error:
        raise from_os_error(error, f"reading {state}") from error
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        return f"{state}: damaged ({error})"
    if broken is not None:
        return f"{state}: damaged ({broken} is not as it was written)"
    return None if is_state(state) else f"{state}: damaged, or no training state"


def _set_aside(state: Path) -> Path:
    return state.with_name(f"{state.name}.damaged")


def _place(error: OSError) -> str:
    return str(error.filename or "training")


def _conditions(record: dict[str, Any]) -> tuple[Any, ...]:
    """What must be equal for two measurements to be compared."""
    protocol = record["protocol"]
    return protocol["fakes"]["num"], protocol["reference"]["content_hash"], protocol["detector"]["sha256"]


def _seen(line: str) -> float:
    try:
        return float(json.loads(line)["images_seen"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line that a kill cut short


def check_same_run(content: dict[str, Any], path: Path, recipe: Recipe, data_hash: str, console: Console) -> None:
    """Compare what a state was trained with to what is asked for now, and say which horizons have changed.

    Raises:
        RecipeError: keys differ that would make it another run; it lists them all.
        CheckpointError: the state's recipe holds what this version does not know.
    """
    before, now = _recipe_of(content, path).model_dump(), recipe.model_dump()
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
            f"{path.parent}: going on with this recipe",
            problems,
            f"Give another --out to start a new run; the run's own recipe is {path.parent / 'recipe.toml'}.",
        )


def _recipe_of(content: dict[str, Any], path: Path) -> Recipe:
    try:
        return recipe_of(content, path)
    except RecipeError as error:  # keys and values of a later version
        raise CheckpointError(error.message, _OTHER_VERSION) from error
