"""The network of a projection's loss. The server names the function, and only the worker loads what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swincli.model.files.model_file import Model
    from swincli.projection.losses import FeatureNetwork


def perceive(model: Model) -> FeatureNetwork | None:
    """The network that `swincli project` would take."""
    from swincli.commands.perception import choose_quietly

    return choose_quietly(model)
