"""The run folder: names of its files, the newest whole state, and logs and states that go back to it."""

from __future__ import annotations

import math
import os
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

from swincli.console import Console
from swincli.errors import (
    CheckpointError,
    SwincliError,
    TrainingError,
    from_os_error,
)
from swincli.metrics.registry import METRICS
from swincli.model.files.find_checkpoint import images_in_name, model_name
from swincli.model.files.model_file import save_model
from swincli.recipe import Recipe, dump_recipe
from swincli.system.atomic_files import write_atomically
from swincli.system.json_lines import JsonLine, read_json_lines, read_records
from swincli.system.leftovers import remove_leftovers
from swincli.training.run.same_run import OTHER_VERSION, RECIPE_HEADER
from swincli.training.run.state import TrainingState, is_state, read_state, save_state
from swincli.units import number_from_json


class RunFolder:
    """The files of one run."""

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
        """Training statistics: one JSON object per line, by images seen."""
        return self.path / "stats.jsonl"

    @property
    def metrics(self) -> Path:
        """Metrics: one JSON object per line, by images seen."""
        return self.path / "metrics.jsonl"

    @property
    def environment(self) -> Path:
        """Software and hardware of the run's sessions."""
        return self.path / "environment.txt"

    def samples(self, images_seen: int) -> Path:
        """The sample grid after `images_seen` images; its latents are the same in the whole run."""
        return self.path / "samples" / f"fakes-{images_seen:012d}.png"

    def state(self, images_seen: int) -> Path:
        """The training state after `images_seen` images."""
        return self.path / f"state-{images_seen:012d}.pt"

    def model(self, images_seen: int) -> Path:
        """The model after `images_seen` images."""
        return self.path / model_name(images_seen)

    def is_started(self) -> bool:
        """Whether the run's first files are complete: it has a state and `reals.png`, which is written last."""
        return bool(self.states()) and self.reals.exists()

    def states(self) -> list[Path]:
        """All training states, newest first: by the number in their names. Files with other names do not count."""
        seen = {path: images_in_name(path) for path in self.path.glob("state-*.pt")}
        return sorted((path for path in seen if seen[path] is not None), key=lambda path: seen[path] or 0, reverse=True)

    def prepare(self, recipe: Recipe) -> None:
        """Create the folder, write the resolved recipe, and remove unfinished files of killed processes."""
        text = RECIPE_HEADER + dump_recipe(recipe)
        write_atomically(self.recipe, lambda path: path.write_text(text, encoding="utf-8"))
        remove_leftovers(self.path)

    def check_exists(self) -> None:
        """Check that the folder has not been moved or removed.

        A missing folder is not created again during training: this would split a run that was moved, or fill the wrong
        disk after an unmount.

        Raises:
            TrainingError: it is gone.
        """
        if not self.recipe.exists():
            raise TrainingError(
                f"{self.path}: the run folder was removed, moved or unmounted during training",
                "Restore it, or give its new path as --out: the run goes on from the newest state in it.",
            )

    def save(self, state: TrainingState) -> Path:
        """Write the model, then the state, and prune old states.

        The state is last: after a kill between the two, the run goes on from the older state and writes the model
        again.

        Returns:
            The model's path.

        Raises:
            TrainingError: the folder is gone.
            ResourceError: a file cannot be written.
        """
        self.check_exists()
        model = self.model(state.images_seen)
        save_model(model, state.average, state.recipe, state.images_seen, state.classes, state.ancestors)
        save_state(self.state(state.images_seen), state)
        _damaged_name(self.state(state.images_seen)).unlink(missing_ok=True)
        self.prune_states(state.recipe)
        return model

    def prune_states(self, recipe: Recipe) -> None:
        """Remove all states except the newest `run.keep` and the state of the best model."""
        best = self.best(recipe)
        for number, path in enumerate(self.states()):
            if number >= recipe.run.keep and (best is None or path != self.state(best[0])):
                _remove_state(path)

    def newest_state(self, console: Console, *, mapped: bool = False) -> tuple[Path, dict[str, Any]] | None:
        """The newest undamaged state and its content; damaged ones are skipped with a warning.

        Args:
            console: Where warnings go.
            mapped: Memory-map the tensors instead of reading them.

        Returns:
            Path and content; None if there are no states.

        Raises:
            CheckpointError: there are states but none can be read, or the newest one is of another version.
        """
        states = self.states()
        for path in states:
            damage = _damage(path)
            if damage is None:
                return path, _read(path, mapped=mapped)
            console.warn(f"{damage}; trying the previous state")
        if states:
            raise CheckpointError(
                f"{self.path}: none of the {len(states)} training states can be read",
                "Start a new run with another --out; `--set train.init=MODEL` starts it from a model of this run.",
            )
        return None

    def rewind(self, images_seen: int, recipe: Recipe, console: Console | None = None) -> None:
        """Put the folder back to `images_seen` images, where training goes on.

        Later states are damaged; they are renamed, so that they do not count among the `run.keep` newest. Old states
        that a killed session did not prune are removed. Log lines after `images_seen` are dropped: they will be written
        again.
        """
        for path in self.states():
            if (images_in_name(path) or 0) > images_seen:
                path.replace(_damaged_name(path))
        self.prune_states(recipe)
        self.truncate_logs(images_seen, console)

    def truncate_logs(self, images_seen: int, console: Console | None = None) -> None:
        """Drop log lines after `images_seen`, and a last line that a kill cut short.

        Damaged lines are moved to `NAME.damaged`, with one warning for each log.
        """
        for log in (self.stats, self.metrics):
            lines = list(read_json_lines(log))
            kept = [line.content for line in lines if _images_seen_of(line) <= images_seen]
            damaged = [line.content for line in lines if math.isnan(_images_seen_of(line))]
            if damaged:
                _set_aside(log, damaged)
                if console is not None:
                    number = "1 damaged line was" if len(damaged) == 1 else f"{len(damaged):,} damaged lines were"
                    console.warn(f"{log}: {number} moved to {_damaged_name(log).name}")
            content = b"".join(line + b"\n" for line in kept)
            if log.is_file() and content != log.read_bytes():
                write_atomically(log, partial(Path.write_bytes, data=content))

    def measured_images_seen(self) -> set[int]:
        """Images seen at all measurements that training made."""
        return {record["images_seen"] for record in self._measurements()}

    def best(self, recipe: Recipe) -> tuple[int, float] | None:
        """The best model by the first metric of `evaluate.metrics`; None if nothing was measured.

        Only measurements of training count, and of those only the ones made like the newest: same number of images,
        same reference, same detector. Lines from `swincli evaluate` do not count.

        Returns:
            Its images seen and its value.
        """
        metric = METRICS.get(recipe.evaluate.metrics[0].strip().lower()) if recipe.evaluate.metrics else None
        measurements = self._measurements()
        if metric is None or not measurements:
            return None
        newest = _conditions(measurements[-1])
        values = {
            record["images_seen"]: number_from_json(record["metrics"][metric.headline])
            for record in measurements
            if _conditions(record) == newest and _is_value(record["metrics"].get(metric.headline))
        }
        finite = {images: value for images, value in values.items() if math.isfinite(value)}
        if not finite:
            return None
        images = (max if metric.higher_is_better else min)(finite, key=finite.__getitem__)
        return images, finite[images]

    def last_metrics(self) -> dict[str, float]:
        """The values of the newest measurement of training; empty if nothing was measured."""
        newest = self._measurements()[-1:]
        return {name: number_from_json(value) for record in newest for name, value in record["metrics"].items()}

    def _measurements(self) -> list[dict[str, Any]]:
        """Complete lines of metrics.jsonl that training wrote."""
        found = []
        for record in read_records(self.metrics):
            with suppress(ValueError, KeyError, TypeError, OverflowError):
                is_whole = dict(record["metrics"]) and hash(_conditions(record)) is not None
                seen = record["images_seen"]
                if record["in_training"] and isinstance(seen, int) and _is_number(seen) and seen and is_whole:
                    found.append(record)
        return found

    def hint_last_state(self, error: SwincliError | OSError) -> SwincliError:
        """The error with a hint from where the run can go on; an `OSError` becomes a SwincliError."""
        failure = error if isinstance(error, SwincliError) else from_os_error(error, _place(error))
        states = self.states()
        last = f"The same command goes on from {states[0]}." if states else "No state was saved yet."
        between = "\n" if "\n" in (failure.hint or "") else " "
        failure.hint = f"{failure.hint}{between}{last}" if failure.hint else last
        return failure


def read_verified_state(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a training state and verify its checksums.

    Args:
        path: The file.
        mapped: Memory-map the tensors; the checksums are still read in full.

    Raises:
        CheckpointError: it is damaged, not a state, or of another version.
        ResourceError: no permission to read it.
    """
    damage = _damage(path)
    if damage is not None:
        raise CheckpointError(damage)
    return _read(path, mapped=mapped)


def _read(state: Path, *, mapped: bool) -> dict[str, Any]:
    try:
        return read_state(state, mapped=mapped)
    except CheckpointError as error:  # an undamaged state, so of another version
        raise CheckpointError(error.message, OTHER_VERSION) from error


def _damage(state: Path) -> str | None:
    """What is wrong with a state file; None for an undamaged state of any version.

    It verifies the checksums that PyTorch writes and never reads.

    Raises:
        ResourceError: no permission to read it.
    """
    try:
        with zipfile.ZipFile(state) as archive:
            broken = archive.testzip()
    except PermissionError as error:
        raise from_os_error(error, f"reading {state}") from error
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        return f"{state}: damaged ({error})"
    if broken is not None:
        return f"{state}: damaged (checksum of {broken})"
    return None if is_state(state) else f"{state}: damaged, or not a training state"


def _remove_state(path: Path) -> None:
    """Remove a state. Windows refuses while a mirror or a virus scanner reads it: then the next save removes it."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        if os.name != "nt":
            raise


def _damaged_name(state: Path) -> Path:
    return state.with_name(f"{state.name}.damaged")


def _place(error: OSError) -> str:
    return str(error.filename or "training")


def _conditions(record: dict[str, Any]) -> tuple[Any, ...]:
    """What must be equal to compare two measurements."""
    protocol = record["protocol"]
    return protocol["fakes"]["num"], protocol["reference"]["content_hash"], protocol["detector"]["sha256"]


def _images_seen_of(line: JsonLine) -> float:
    """Images seen at a line; infinity for one that a kill cut short, NaN for a damaged one."""
    if line.is_cut and line.record is None:
        return math.inf
    images_seen = None if line.record is None else line.record.get("images_seen")
    return images_seen if _is_number(images_seen) else math.nan


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value < math.inf


def _is_value(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63)


def _set_aside(log: Path, lines: list[bytes]) -> None:
    """Append damaged lines to the file beside a log."""
    try:
        with _damaged_name(log).open("ab") as file:
            file.writelines(line + b"\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise from_os_error(error, f"writing {_damaged_name(log)}") from error
