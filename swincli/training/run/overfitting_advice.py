"""What to change when D memorises or G collapses: tables of advice, by what the recipe has already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swincli.recipe import Recipe
from swincli.recipe.objective import DEFAULT_GROUPS
from swincli.training.augment.probability import final_probability

LARGEST_P = 0.8
"""Probability above which transforms leak into G's images."""


@dataclass(frozen=True)
class Advice:
    """What to change in some recipes.

    Attributes:
        applies: `(recipe, p)` -> whether it is of use; p is the probability of the transforms now, None if unknown.
        words: The change, after "Train anew with".
    """

    applies: Callable[[Recipe, float | None], bool]
    words: Callable[[Recipe, float | None], str]


def _transforms_are_off(recipe: Recipe, _: float | None) -> bool:
    return recipe.augment.transforms == "none"


def _is_adaptive_below_its_bound(recipe: Recipe, p: float | None) -> bool:
    return recipe.augment.control == "adaptive" and p is not None and p < recipe.augment.p_max


def _leads_to_little(recipe: Recipe, _: float | None) -> bool:
    return final_probability(recipe.augment)[1] < LARGEST_P


def _leaves_groups_out(recipe: Recipe, _: float | None) -> bool:
    return not set(DEFAULT_GROUPS[recipe.augment.transforms]) <= set(recipe.augment.chosen)


def _switch_on(recipe: Recipe, _: float | None) -> str:
    words = 'augment.transforms="diffaugment"'
    if recipe.run.cuda_graphs:
        words += " and run.cuda_graphs=false"
    if recipe.loss.bcr_real or recipe.loss.bcr_fake:
        words += " in the place of bCR (loss.bcr_real=0 and loss.bcr_fake=0)"
    return words


def _let_it_rise(_: Recipe, p: float | None) -> str:
    return f"a lower augment.target or a smaller augment.speed, so that augment.p, now {p:.2f}, rises further"


def _raise_it(recipe: Recipe, _: float | None) -> str:
    key, value = final_probability(recipe.augment)
    return f"a higher {key}, now {value:g}"


D_TRANSFORMS: tuple[Advice, ...] = (
    Advice(_transforms_are_off, _switch_on),
    Advice(_is_adaptive_below_its_bound, _let_it_rise),
    Advice(_leads_to_little, _raise_it),
    Advice(_leaves_groups_out, lambda *_: "more of augment.groups"),
    Advice(
        lambda recipe, _: recipe.model.discriminator != "features",
        lambda *_: "a smaller D (model.d_width): more transforms do not help",
    ),
)
"""What makes it harder for D to know its images; the first that applies is told."""


def when_d_memorises(recipe: Recipe, p: float | None) -> str:
    """What to change when D memorises; p is the probability of the transforms now, None if unknown."""
    found = next((row.words(recipe, p) for row in D_TRANSFORMS if row.applies(recipe, p)), None)
    changes = [*([found] if found else []), *_stronger_r1(recipe), "more images"]
    return f"Train anew with {_either(changes)}. An earlier model may be better."


def when_g_collapses(recipe: Recipe) -> str:
    """What to change when G's images become alike."""
    changes = ["lower train.g_lr and train.d_lr", *_stronger_r1(recipe)]
    if recipe.loss.top_k < 1:
        changes.append("loss.top_k=1, so that rare images count again")
    return f"Train anew from an earlier model (train.init) with {_either(changes)}."


def _stronger_r1(recipe: Recipe) -> list[str]:
    """The advice to raise R1's weight, where the recipe can have R1."""
    if recipe.model.discriminator == "features":
        return []
    return [f"a higher loss.r1_gamma{'' if recipe.loss.r1_gamma_end is None else '_end'}"]


def _either(changes: list[str]) -> str:
    """ "a", "a, or b", or "a; b; or c" if commas are within them."""
    return ", or ".join(changes) if len(changes) < 3 else "; ".join([*changes[:-1], f"or {changes[-1]}"])
