"""The probability of the transforms: constant, scheduled, or adapted to D's overfitting (ADA, Karras et al., 2020)."""

from __future__ import annotations

import math

from swincli.recipe.objective import AugmentSection
from swincli.training.schedules import half_cosine

ADJUST_EVERY = 4  # steps
AUGMENT_P, AUGMENT_R = "augment/p", "augment/r"  # names of the probability and of r_t, in reports and in the state


def is_adaptive(section: AugmentSection) -> bool:
    """Whether the probability is adapted to D, so that it is part of the training state."""
    return section.is_on and section.control == "adaptive"


def planned_probability(section: AugmentSection, images_seen: int) -> float:
    """The probability of a fixed or scheduled control; of an adaptive one, that at the start."""
    if section.control != "scheduled":
        return section.start
    assert section.p_end is not None
    assert section.p_until is not None
    return half_cosine(images_seen, section.start, section.p_end, section.p_until)


def final_probability(section: AugmentSection) -> tuple[str, float]:
    """Key and value of the probability that a recipe leads to: a constant one, a schedule's end, an adaptive bound."""
    if section.control == "scheduled":
        assert section.p_end is not None
        return "augment.p_end", section.p_end
    return ("augment.p_max", section.p_max) if section.control == "adaptive" else ("augment.p", section.start)


def adjusted_probability(p: float, sign: float, images: int, section: AugmentSection) -> float:
    """The probability after one adjustment of the adaptive control.

    Args:
        p: The probability so far.
        sign: r_t, the mean sign of D's logits at reals since the last adjustment: near 1 if D overfits.
        images: Images of that time.
        section: Target, speed and upper bound.

    Returns:
        `p + sign(r_t - target) * images / speed`, within 0 and `p_max`.
    """
    if sign == section.target:
        return p
    return min(max(p + math.copysign(images / section.speed, sign - section.target), 0.0), section.p_max)
