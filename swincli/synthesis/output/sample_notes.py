"""Parts of the provenance notes of images: the model they come from, and the settings that all images share."""

from __future__ import annotations

from swincli.model.files.judged import judge_behind
from swincli.model.files.model_file import Model
from swincli.synthesis.output.judge_notes import judge_note


def origin_note(model: Model, identity: str, tuned: str | None = None) -> str:
    """The part of a note that names the model file, and the network that it was trained against, if there is one.

    Args:
        model: The model.
        identity: The start of its file's SHA-256.
        tuned: "NAME:IDENTITY" of tuned weights.
    """
    judge = judge_note(judge_behind(model.recipe, model.ancestors))
    text = f"checkpoint={model.path.name} model={identity}{judge}"
    return text if tuned is None else f"{text} tuned={tuned}"


def settings_note(
    truncation: float, layers: int | None = None, centres: int | None = None, preview: int | None = None
) -> str:
    """The part of a note with the settings of sampling; it begins with a space."""
    text = f" truncation={float(truncation)}"
    if layers is not None:
        text += f" truncation-layers={layers}"
    if centres is not None:
        text += f" truncation-centres={centres}"
    if preview is not None:
        text += f" preview={preview}"
    return text
