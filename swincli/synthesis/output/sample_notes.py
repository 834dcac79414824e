"""Parts of the provenance notes of images: the model they come from, and the settings that all images share."""

from __future__ import annotations

from swincli.model.files.model_file import Model


def origin_note(model: Model, identity: str, tuned: str | None = None) -> str:
    """The part of a note that names the model file; `tuned` is "NAME:IDENTITY" of the tuned weights."""
    text = f"checkpoint={model.path.name} model={identity}"
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
