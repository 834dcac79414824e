"""Opening what commands work on."""

from __future__ import annotations

from pathlib import Path

import torch

from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import Model, load_model
from swincli.model.files.tuned import apply_tuned


def open_model(checkpoint: str | None, device: torch.device, tuned: Path | None = None) -> Model:
    """The model that --checkpoint means, with what --tuned changes of it.

    Raises:
        CheckpointError: there is none, it is damaged, or the changes are of another model.
    """
    model = load_model(find_checkpoint(checkpoint), device)
    return model if tuned is None else apply_tuned(model, tuned)
