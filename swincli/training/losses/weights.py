"""The weights of the terms of D's and G's loss, by name; `terms` has what the terms compute. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable

from swincli.recipe.objective import LossSection
from swincli.training.schedules import features_weight, mee_entropy_weight, tv_weight

LATE = 10**15  # images; later than any run

WEIGHTS: dict[str, Callable[[LossSection, int], float]] = {
    "bcr": lambda loss, _: 1.0 if loss.bcr_real or loss.bcr_fake else 0.0,
    "lecam": lambda loss, seen: loss.lecam if seen >= loss.lecam_from else 0.0,
    "zcr_d": lambda loss, _: loss.zcr_d,
    "augself_d": lambda loss, _: loss.augself_d,
    "adaptive_mix_d": lambda loss, _: loss.adaptive_mix,
    "mee_dlle": lambda loss, _: loss.mee_dlle,
    "mee_disomap": lambda loss, _: loss.mee_disomap,
    "mee_entropy_d": lambda loss, seen: mee_entropy_weight(seen, loss),
    "features_d": lambda loss, seen: features_weight(seen, loss),
    "matching_d": lambda loss, _: loss.matching,
    "tv": lambda loss, seen: tv_weight(seen, loss),
    "zcr_g": lambda loss, _: loss.zcr_g,
    "augself_g": lambda loss, _: loss.augself_g,
    "adaptive_mix_g": lambda loss, _: loss.adaptive_mix,
    "mee_entropy_g": lambda loss, seen: mee_entropy_weight(seen, loss),
    "features_g": lambda loss, seen: features_weight(seen, loss),
    "matching_g": lambda loss, _: loss.matching,
    "elastic": lambda loss, _: loss.elastic,
    "repel": lambda loss, _: loss.repel,
}
"""The weight of each term after some images; 0 leaves it out, with all its forwards."""


def terms_of(section: LossSection) -> list[str]:
    """Names of the terms that have a weight at some time of a run."""
    times = (0, section.features_from, LATE)
    return [name for name, weight in WEIGHTS.items() if any(weight(section, seen) for seen in times)]
