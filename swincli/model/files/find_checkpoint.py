"""Find the model file that `--checkpoint` refers to, in a run folder or in the newest run under `runs/`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import safetensors

from swincli.errors import CheckpointError
from swincli.model.files.hub import HUB_PREFIX, MODEL_FILE, find_hub_model
from swincli.model.files.shipped_models import PREFIX, find_shipped_model, shipped_models
from swincli.system.overwrite import check_utf8

RUNS = Path("runs")
METADATA = "swincli"  # key of a model file's note


def model_name(images_seen: int) -> str:
    """Name of the model file that a run writes after `images_seen` images."""
    return f"model-{images_seen:012d}.safetensors"


def images_in_name(path: Path) -> int | None:
    """Images seen by the name that a run gave to a model or state; None for a file with another name."""
    match = re.fullmatch(r"(?:model|state)-([0-9]{12,18})\.(?:safetensors|pt)", path.name)
    return int(match[1]) if match else None


def newest_model(run: Path) -> Path | None:
    """The model of a run folder that has seen most images, by its own note; None if no model can be opened.

    Names and times say nothing if files were renamed or copied.
    """
    seen = {path: _images_seen(path) for path in sorted(run.glob("model-*.safetensors"))}
    opened = {path: images for path, images in seen.items() if images is not None}
    return max(opened, key=lambda path: (opened[path], images_in_name(path) or 0), default=None)


def _images_seen(path: Path) -> int | None:
    """Images seen that a model file notes, -1 without a note; None if the file cannot be opened."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            note = (file.metadata() or {}).get(METADATA, "")
    except (safetensors.SafetensorError, OSError):
        return None
    try:
        return int(json.loads(note)["images_seen"])
    except (KeyError, TypeError, ValueError):
        return -1


def find_checkpoint(text: str | None) -> Path:
    """The model file of `--checkpoint`.

    Args:
        text: A model file, a run folder, which stands for its newest model, a hub folder, `builtin:NAME`, a model that
            comes with swincli, or `hf:OWNER/NAME[@REVISION][/FILE]`. None: the newest model under `runs/`.

    Raises:
        CheckpointError: there is none.
        UsageError: its path is not UTF-8, or as `find_hub_model` does.
        ResourceError: as `find_hub_model` does.
    """
    if text is not None:
        path = Path(text)
        if text.startswith(PREFIX) and not path.exists():
            return find_shipped_model(text)
        if text.startswith(HUB_PREFIX) and not path.exists():
            return find_hub_model(text)
        if path.exists():
            check_utf8(path)
        if path.is_file():
            return path
        if not path.is_dir():
            raise CheckpointError(f"{text}: no such run or model", "Give a run folder, a .safetensors or a .pt file.")
        model = newest_model(path)
        if model is None and (path / MODEL_FILE).is_file():
            return path / MODEL_FILE
        if model is None:
            raise CheckpointError(f"{path}: contains no model", "`swincli train` writes model-*.safetensors there.")
        return model
    models = [model for run in RUNS.glob("*/") if (model := newest_model(run))]
    if not models:
        known = ", ".join(f"{PREFIX}{name}" for name in shipped_models())
        raise CheckpointError(
            f"no trained model under {RUNS}/",
            f"Train one with `swincli train quickstart`, or give --checkpoint. These come along: {known}.",
        )
    return max(models, key=lambda model: model.stat().st_mtime)
