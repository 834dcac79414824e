"""Combinations of settings, over all sections of a recipe, that contradict each other, as a table with the reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swincli.recipe.section import inconsistent

AnyRecipe = Any
"""A `Recipe`, which imports this table."""


@dataclass(frozen=True)
class Conflict:
    """A combination of settings that contradicts itself.

    Attributes:
        key: The key that is reported.
        applies: Whether a recipe has the combination.
        reason: Why it is refused, and what to do.
    """

    key: str
    applies: Callable[[AnyRecipe], bool]
    reason: str


def _uses_features(recipe: AnyRecipe) -> bool:
    loss = recipe.loss
    return any((loss.augself_d, loss.augself_g, loss.adaptive_mix, loss.mee_dlle, loss.mee_disomap, loss.mee_entropy))


CONFLICTS = (
    Conflict(
        "loss.bcr_real",
        lambda recipe: recipe.augment.transforms != "none" and bool(recipe.loss.bcr_real or recipe.loss.bcr_fake),
        "bCR asks D to ignore what augment.transforms already hides from it; use one of the two",
    ),
    Conflict(
        "loss.adaptive_mix",
        lambda recipe: bool(recipe.loss.adaptive_mix) and recipe.augment.control == "adaptive",
        "AdaptiveMix changes the scale of the logits that an adaptive augment.control measures; use a fixed or "
        "scheduled one",
    ),
    Conflict(
        "loss.adaptive_mix",
        lambda recipe: bool(recipe.loss.adaptive_mix) and recipe.model.classes > 0,
        "AdaptiveMix blends images of different classes and does not know a label for them; train without classes",
    ),
    Conflict(
        "loss.adaptive_mix",
        lambda recipe: bool(recipe.loss.adaptive_mix) and recipe.model.std_group < 2,
        "AdaptiveMix blends images of one group of the minibatch standard deviation; set model.std_group to 2 or more",
    ),
    Conflict(
        "loss.mee_disomap",
        lambda recipe: bool(recipe.loss.mee_disomap) and recipe.model.classes > 0,
        "DIsoMap blends images of different classes and does not know a label for them; train without classes",
    ),
    Conflict(
        "loss.augself_d",
        lambda recipe: (
            bool(recipe.loss.augself_d or recipe.loss.augself_g)
            and (
                recipe.augment.transforms != "diffaugment"
                or recipe.augment.control != "fixed"
                or recipe.augment.start < 1
            )
        ),
        'AugSelf predicts DiffAugment\'s parameters; set augment.transforms = "diffaugment" and a fixed p of 1',
    ),
    Conflict(
        "loss.augself_groups",
        lambda recipe: (
            bool(recipe.loss.augself_d or recipe.loss.augself_g)
            and not set(recipe.loss.augself_groups) <= set(recipe.augment.chosen)
        ),
        "must be among the groups of augment.groups, and at least one",
    ),
    Conflict(
        "model.discriminator",
        lambda recipe: recipe.model.discriminator == "patch" and _uses_features(recipe),
        '"patch" has no feature vector of an image, which AugSelf, AdaptiveMix and MEE need; use "wavelet" or "plain"',
    ),
    Conflict(
        "loss.joint_penalty",
        lambda recipe: recipe.loss.joint_penalty and not (recipe.loss.has_r1 or recipe.loss.has_r2),
        "needs loss.r1_gamma or loss.r2_gamma",
    ),
    Conflict(
        "loss.top_k",
        lambda recipe: recipe.loss.top_k < 1 and recipe.run.micro_batch is not None,
        "takes the best fakes of the whole batch, which run.micro_batch splits",
    ),
    Conflict(
        "loss.top_k",
        lambda recipe: recipe.loss.top_k < 1 and recipe.loss.adversarial == "relativistic",
        'compares logits of fakes alone; "relativistic" has none that mean anything without their real',
    ),
    Conflict(
        "loss.lecam",
        lambda recipe: bool(recipe.loss.lecam) and recipe.loss.adversarial == "relativistic",
        'ties logits to averages; with "relativistic" only their differences mean anything',
    ),
    Conflict(
        "loss.gamma_until",
        lambda recipe: (recipe.loss.gamma_until or 0) > recipe.train.total > 0,
        "must end within train.total",
    ),
    Conflict(
        "augment.p_until",
        lambda recipe: (recipe.augment.p_until or 0) > recipe.train.total > 0,
        "must end within train.total",
    ),
    Conflict(
        "train.beta2_until",
        lambda recipe: (recipe.train.beta2_until or 0) > recipe.train.total > 0,
        "must end within train.total",
    ),
    Conflict(
        "ema.half_life_until",
        lambda recipe: (recipe.ema.half_life_until or 0) > recipe.train.total > 0,
        "must end within train.total",
    ),
)


def check_conflicts(recipe: AnyRecipe) -> None:
    """Refuse combinations that contradict each other.

    Raises:
        PydanticCustomError: names the key and the reason of the first one.
    """
    for conflict in CONFLICTS:
        if conflict.applies(recipe):
            raise inconsistent(conflict.key, conflict.reason)
