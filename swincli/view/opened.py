"""What `swincli view` opens: a model, a run, or a folder of runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swincli.errors import CheckpointError
from swincli.model.files.find_checkpoint import RUNS, find_checkpoint, newest_model
from swincli.model.files.shipped_models import PREFIX, shipped_models

RECIPE = "recipe.toml"  # the first file of a run
DEPTH = 3  # folders below the opened one in which runs are looked for
MOST_FOLDERS = 5000


@dataclass(frozen=True)
class Opened:
    """What was opened; nothing else of the machine can be seen through the page.

    Attributes:
        model: The model to explore; None if there is none yet.
        runs: The folder of runs, or a run; None if a single model was opened.
    """

    model: Path | None
    runs: Path | None


def is_run(folder: Path) -> bool:
    """Whether a folder is a run: it has a recipe."""
    return (folder / RECIPE).is_file()


def find_runs(root: Path) -> Iterator[Path]:
    """The runs in a folder, at most `DEPTH` folders deep; `root` itself if it is a run. Links are not followed."""
    folders, looked = [(root, 0)], 0
    while folders and looked < MOST_FOLDERS:
        folder, depth = folders.pop(0)
        looked += 1
        if is_run(folder):
            yield folder
        elif depth < DEPTH:
            folders += [(inner, depth + 1) for inner in _folders(folder)]


def _folders(folder: Path) -> list[Path]:
    try:
        inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
        return sorted(path for path in inner if path.is_dir() and not path.is_symlink())
    except OSError:  # no permission, or gone meanwhile
        return []


def find_opened(text: str | None) -> Opened:
    """The model and the runs that CHECKPOINT|RUNS names.

    Args:
        text: A model file, `builtin:NAME`, a run or a folder of runs. None: the folder `runs`.

    Raises:
        CheckpointError: there is neither a model nor a run.
    """
    path = RUNS if text is None else Path(text)
    if text is not None and not path.is_dir():
        try:
            return Opened(find_checkpoint(text), None)
        except CheckpointError as error:
            if path.exists() or ":" in text:  # builtin:NAME and hf:OWNER/NAME have hints of their own
                raise
            raise CheckpointError(error.message, _hint()) from None
    runs = list(find_runs(path)) if path.is_dir() else []
    models = [model for run in runs or [path] if (model := newest_model(run))]
    if not runs and not models:
        where = f"no trained model under {RUNS}/" if text is None else f"{path}: contains no run and no model"
        raise CheckpointError(where, _hint())
    newest = max(models, key=lambda model: model.stat().st_mtime, default=None)
    return Opened(newest, path if runs else None)


def _hint() -> str:
    known = ", ".join(f"{PREFIX}{name}" for name in shipped_models())
    return f"Give a model file, a run or a folder of runs. These models come along: {known}."
