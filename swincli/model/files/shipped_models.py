"""Models that come with swincli: `--checkpoint builtin:NAME`, files in `swincli/shipped_models/`."""

from __future__ import annotations

from pathlib import Path

from swincli.errors import CheckpointError, did_you_mean

PREFIX = "builtin:"


def shipped_models() -> dict[str, Path]:
    """The models that come along, by name."""
    folder = Path(__file__).resolve().parents[2] / "shipped_models"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_shipped_model(text: str) -> Path:
    """The file of `builtin:NAME`.

    Raises:
        CheckpointError: there is no such model.
    """
    models = shipped_models()
    name = text.removeprefix(PREFIX)
    if name not in models:
        known = ", ".join(PREFIX + each for each in models)
        raise CheckpointError(
            f"{text}: no such model{did_you_mean(name, models)}", f"These come with swincli: {known}."
        )
    return models[name]
