"""Find the model file that `--checkpoint` refers to, in a run folder or in the newest run under `runs/`."""

from __future__ import annotations

from pathlib import Path

import safetensors

from swincli.errors import CheckpointError

RUNS = Path("runs")


def model_name(images_seen: int) -> str:
    """Name of the model file that a run writes after `images_seen` images."""
    return f"model-{images_seen:012d}.safetensors"


def newest_model(run: Path) -> Path | None:
    """The newest model of a run folder that can be opened; None if there is none."""
    for path in sorted(run.glob("model-*.safetensors"), reverse=True):
        try:
            with safetensors.safe_open(path, framework="pt"):
                return path
        except (safetensors.SafetensorError, OSError):
            continue
    return None


def find_checkpoint(text: str | None) -> Path:
    """The model file of `--checkpoint`.

    Args:
        text: A model file or a run folder, which stands for its newest model. None: the newest model under `runs/`.

    Raises:
        CheckpointError: there is none.
    """
    if text is not None:
        path = Path(text)
        if path.is_file():
            return path
        if not path.is_dir():
            raise CheckpointError(f"{text}: no such run or model", "Give a run folder, a .safetensors or a .pt file.")
        model = newest_model(path)
        if model is None:
            raise CheckpointError(f"{path}: contains no model", "`swincli train` writes model-*.safetensors there.")
        return model
    models = [model for run in RUNS.glob("*/") if (model := newest_model(run))]
    if not models:
        raise CheckpointError(
            f"no trained model under {RUNS}/", "Train one with `swincli train quickstart`, or give --checkpoint."
        )
    return max(models, key=lambda model: model.stat().st_mtime)
