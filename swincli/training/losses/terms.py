"""The terms that are added to D's and to G's adversarial loss, as tables; `weights` has their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from swincli.training.losses import augself, consistency, matching, mee, vision_aided, weight_penalties
from swincli.training.losses.lecam import lecam
from swincli.training.losses.phases import DPhase, GPhase

P = TypeVar("P", DPhase, GPhase)


@dataclass(frozen=True)
class Term(Generic[P]):
    """A term of a loss.

    Attributes:
        name: Name of its weight in `WEIGHTS`, and of its value in reports: "loss/NAME".
        value: The term without the weight.
    """

    name: str
    value: Callable[[P], Tensor]


def _blend_d(phase: DPhase) -> Tensor:
    assert phase.real.blend_loss is not None
    assert phase.fake.blend_loss is not None
    return phase.real.blend_loss + phase.fake.blend_loss


def _blend_g(phase: GPhase) -> Tensor:
    assert phase.fake.blend_loss is not None
    return phase.fake.blend_loss


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of horizontal neighbours plus that of vertical ones: `[B, 3, H, W]` -> scalar.

    This is the anisotropic total variation as a mean, so its weight means the same at every image size.
    """
    return images.diff(dim=-1).abs().mean() + images.diff(dim=-2).abs().mean()


D_TERMS: tuple[Term[DPhase], ...] = (
    Term("bcr", consistency.bcr),
    Term("lecam", lecam),
    Term("zcr_d", consistency.zcr_d),
    Term("augself_d", augself.augself_d),
    Term("adaptive_mix_d", _blend_d),
    Term("mee_dlle", mee.dlle),
    Term("mee_disomap", mee.disomap),
    Term("mee_entropy_d", mee.entropy_d),
    Term("features_d", vision_aided.features_d),
    Term("matching_d", matching.matching_d),
)
G_TERMS: tuple[Term[GPhase], ...] = (
    Term("tv", lambda phase: total_variation(phase.images)),
    Term("zcr_g", consistency.zcr_g),
    Term("augself_g", augself.augself_g),
    Term("adaptive_mix_g", _blend_g),
    Term("mee_entropy_g", mee.entropy_g),
    Term("features_g", vision_aided.features_g),
    Term("matching_g", matching.matching_g),
    Term("elastic", weight_penalties.elastic_term),
    Term("repel", weight_penalties.repel_term),
)
