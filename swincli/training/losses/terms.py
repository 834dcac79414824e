"""The terms that are added to D's and to G's adversarial loss, as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from swincli.recipe.objective import LossSection
from swincli.training.losses import augself, consistency, mee
from swincli.training.losses.lecam import lecam
from swincli.training.losses.phases import DPhase, GPhase
from swincli.training.schedules import tv_weight

P = TypeVar("P", DPhase, GPhase)
LATE = 10**15  # images; later than any run


@dataclass(frozen=True)
class Term(Generic[P]):
    """A term of a loss.

    Attributes:
        name: Name of its value in reports: "loss/NAME".
        weight: Its weight after some images; 0 leaves it out, with all its forwards.
        value: The term without the weight.
    """

    name: str
    weight: Callable[[LossSection, int], float]
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
    Term("bcr", lambda loss, _: 1.0 if loss.bcr_real or loss.bcr_fake else 0.0, consistency.bcr),
    Term("lecam", lambda loss, seen: loss.lecam if seen >= loss.lecam_from else 0.0, lecam),
    Term("zcr_d", lambda loss, _: loss.zcr_d, consistency.zcr_d),
    Term("augself_d", lambda loss, _: loss.augself_d, augself.augself_d),
    Term("adaptive_mix_d", lambda loss, _: loss.adaptive_mix, _blend_d),
    Term("mee_dlle", lambda loss, _: loss.mee_dlle, mee.dlle),
    Term("mee_disomap", lambda loss, _: loss.mee_disomap, mee.disomap),
    Term("mee_entropy_d", lambda loss, _: loss.mee_entropy, mee.entropy_d),
)
G_TERMS: tuple[Term[GPhase], ...] = (
    Term("tv", lambda loss, seen: tv_weight(seen, loss), lambda phase: total_variation(phase.images)),
    Term("zcr_g", lambda loss, _: loss.zcr_g, consistency.zcr_g),
    Term("augself_g", lambda loss, _: loss.augself_g, augself.augself_g),
    Term("adaptive_mix_g", lambda loss, _: loss.adaptive_mix, _blend_g),
    Term("mee_entropy_g", lambda loss, _: loss.mee_entropy, mee.entropy_g),
)


def terms_of(section: LossSection) -> list[str]:
    """Names of the terms that have a weight at the start or late in a run."""
    terms: tuple[Term[DPhase] | Term[GPhase], ...] = (*D_TERMS, *G_TERMS)
    return [term.name for term in terms if term.weight(section, 0) or term.weight(section, LATE)]
