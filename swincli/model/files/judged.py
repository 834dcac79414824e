"""The pretrained network that a model was trained against, if its D looked through one."""

from __future__ import annotations

from collections.abc import Sequence

from swincli.model.discriminators.frozen_features import looked_through
from swincli.model.files.ancestry import Ancestor
from swincli.recipe import Recipe


def judge_behind(recipe: Recipe, ancestors: Sequence[Ancestor]) -> tuple[str, str] | None:
    """Name and SHA-256 of the network that the D of a model, or of the latest of its ancestors that had one, saw."""
    weights = looked_through(recipe)
    if weights is not None:
        return weights.network, weights.sha256
    judges = [ancestor.judge for ancestor in ancestors if ancestor.judge is not None]
    return judges[-1] if judges else None
