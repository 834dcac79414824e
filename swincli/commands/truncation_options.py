"""What --truncation, --truncation-layers and --truncation-centres ask for, checked against a model."""

from __future__ import annotations

import math

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.latents.w_clusters import MAX_CENTRES, cluster_centres


def read_truncation(model: Model, strength: float, layers: int | None, centres: int | None) -> Truncation:
    """How codes of a model are to be truncated.

    Args:
        model: The model.
        strength: --truncation.
        layers: --truncation-layers.
        centres: --truncation-centres.

    Raises:
        UsageError: a strength that is no number, layers or centres where nothing is truncated, or more of them than
            there can be.
    """
    if not math.isfinite(strength):
        raise UsageError(f"--truncation {strength}: not a number to truncate by", "1 changes nothing, 0.7 is usual.")
    for option, value in (("--truncation-layers", layers), ("--truncation-centres", centres)):
        if value is not None and strength == 1.0:
            raise UsageError(f"{option} {value}: nothing is truncated", "Add --truncation 0.7.")
    codes = model.recipe.model.num_ws
    if layers is not None and layers > codes:
        raise UsageError(f"--truncation-layers {layers}: the model has {codes} codes an image", f"Give 1 to {codes}.")
    if centres is not None and centres > MAX_CENTRES:
        raise UsageError(f"--truncation-centres {centres}: too many", f"At most {MAX_CENTRES:,}.")
    return Truncation(strength, layers, None if centres is None else cluster_centres(model, centres))
