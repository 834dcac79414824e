"""The model and the truncation that the shared options --checkpoint, --tuned and --truncation* select."""

from __future__ import annotations

from pathlib import Path

import torch

from swincli.commands.options import require_truncation
from swincli.errors import UsageError
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import Model, load_model
from swincli.model.files.tuned import apply_tuned
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


def read_truncation(model: Model, strength: float, layers: int | None, centres: int | None) -> Truncation:
    """The truncation of a model's codes.

    Args:
        model: The model.
        strength: `--truncation`; 1 changes nothing.
        layers: `--truncation-layers`, 1 to `num_ws`; None for all.
        centres: `--truncation-centres`; None for the mean of w.

    Raises:
        UsageError: the strength is not finite, layers or centres are given at strength 1, or either is too large.
    """
    require_truncation(strength)
    for option, value in (("--truncation-layers", layers), ("--truncation-centres", centres)):
        if value is not None and strength == 1.0:
            raise UsageError(f"{option} {value}: has no effect without --truncation", "Add --truncation 0.7.")
    codes = model.recipe.model.num_ws
    if layers is not None and layers > codes:
        raise UsageError(f"--truncation-layers {layers}: w+ of this model has {codes} codes", f"Give 1 to {codes}.")
    if centres is not None and centres > MAX_CENTRES:
        raise UsageError(f"--truncation-centres {centres}: too many centres", f"Give 1 to {MAX_CENTRES:,}.")
    return Truncation(strength, layers, None if centres is None else cluster_centres(model, centres))
