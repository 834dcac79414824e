"""The model and the truncation that the shared options --checkpoint, --tuned and --truncation* select."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from swincli.commands.options import require_truncation
from swincli.console import Console
from swincli.errors import UsageError, from_os_error
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import Model, load_model
from swincli.model.files.tuned import apply_tuned
from swincli.synthesis.latents.texts import Text, read_texts, require_texts
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.latents.w_clusters import MAX_CENTRES, cluster_centres


def open_model(
    checkpoint: str | None, device: torch.device, tuned: Path | None = None, model: Model | None = None
) -> Model:
    """Load the model of `--checkpoint` and apply the tuned weights of `--tuned`.

    Args:
        checkpoint: A run folder or a model file; None for the newest run.
        device: Where the model goes.
        tuned: A file of `project --tune`.
        model: A loaded model, used instead of `checkpoint`.

    Raises:
        CheckpointError: there is no such model, it is damaged, or the tuned weights belong to another model.
    """
    model = load_model(find_checkpoint(checkpoint), device) if model is None else model
    return model if tuned is None else apply_tuned(model, tuned)


def listed_texts(texts: Sequence[str] | None, file: Path | None) -> list[str] | None:
    """The texts of `--text` and `--text-file`, in this order; None if neither was given.

    Raises:
        UsageError: the file has no text, or is no text file.
        ResourceError: it cannot be read.
    """
    if file is None:
        return list(texts) if texts else None
    try:
        content = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise from_os_error(error, f"reading {file}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--text-file {file}: is not a text file", "Save it as UTF-8.") from error
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    if not lines:
        raise UsageError(f"--text-file {file}: has no text", "Write one text a line.")
    return [*(texts or ()), *lines]


def open_texts(model: Model, texts: Sequence[str] | None, console: Console) -> list[Text] | None:
    """The vectors of texts, and messages on the training captions that are near; None without texts.

    Raises:
        UsageError: a text is empty, or the model has no texts.
        ResourceError: the sentence encoder is not installed.
    """
    if texts is None:
        return None
    found = read_texts(model, texts)
    for each in found:
        console.say(f'"{each.text}": closest of the training captions: {each.closest}')
        if each.warning is not None:
            console.warn(each.warning)
    return found


def read_truncation(
    model: Model, strength: float, layers: int | None, centres: int | None, guidance: float = 1.0
) -> Truncation:
    """The truncation of a model's codes.

    Args:
        model: The model.
        strength: `--truncation`; 1 changes nothing.
        layers: `--truncation-layers`, 1 to `num_ws`; None for all.
        centres: `--truncation-centres`; None for the mean of w.
        guidance: `--guidance`; 1 changes nothing.

    Raises:
        UsageError: the strength or the guidance is not finite, a model without texts has guidance,
            layers or centres are given at strength 1, or either is too large.
    """
    require_truncation(strength)
    if not math.isfinite(guidance):
        raise UsageError(f"--guidance {guidance}: must be a finite number", "1 changes nothing, 2 to 4 is usual.")
    if guidance != 1.0:
        require_texts(model, "--guidance")
    for option, value in (("--truncation-layers", layers), ("--truncation-centres", centres)):
        if value is not None and strength == 1.0:
            raise UsageError(f"{option} {value}: has no effect without --truncation", "Add --truncation 0.7.")
    codes = model.recipe.model.num_ws
    if layers is not None and layers > codes:
        raise UsageError(f"--truncation-layers {layers}: w+ of this model has {codes} codes", f"Give 1 to {codes}.")
    if centres is not None and centres > MAX_CENTRES:
        raise UsageError(f"--truncation-centres {centres}: too many centres", f"Give 1 to {MAX_CENTRES:,}.")
    return Truncation(strength, layers, None if centres is None else cluster_centres(model, centres), guidance)
