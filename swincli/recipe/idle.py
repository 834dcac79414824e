"""Settings without an effect, with half of one, or known to fail, as a table: warnings of recipes that are valid.

What contradicts itself is in `conflicts`. These are valid, because runs and models of earlier versions may have them.
"""

from __future__ import annotations

from collections.abc import Callable

from swincli.recipe.conflicts import AnyRecipe, Conflict, has_group
from swincli.recipe.networks import FEATURES_SIDES, KEY_MIXERS, PADDED_MIXERS, SMALLEST_MIXED, WINDOW_MIXERS
from swincli.recipe.objective import LEAST_BLUR

_PLAIN = "keeps the probability at 0, so D sees plain images alone; raise it"
_SMALL_MAPS = f"has an effect below {SMALLEST_MIXED} px only: no larger map has a mixer of "
_NO_WINDOWS, _NO_KEYS = _SMALL_MAPS + ", ".join(WINDOW_MIXERS), _SMALL_MAPS + ", ".join(KEY_MIXERS)
_NOTHING = "changes nothing; raise it, or leave the group out of augment.groups"


def _never_happens(recipe: AnyRecipe, *controls: str) -> bool:
    """Whether the probability of transforms and APA, under one of these controls, is 0 in the whole run."""
    augment = recipe.augment
    ends = {"fixed": 0.0, "scheduled": augment.p_end, "adaptive": augment.p_max}
    return bool(augment.is_on and augment.control in controls and augment.start == ends[augment.control] == 0)


def _factors(recipe: AnyRecipe) -> list[float]:
    """Factors of the probability of all transforms in use."""
    augment = recipe.augment
    return [factor for group in augment.chosen for factor in augment.factors(group).values()]


def _names_unused(recipe: AnyRecipe) -> bool:
    """Whether `augment.multipliers` names a group that is not in use, or a transform of one."""
    augment = recipe.augment
    used = {name for group in augment.chosen for name in (group, *augment.factors(group))}
    return bool(set(augment.multipliers or ()) - used)


def _never_shrinks(recipe: AnyRecipe) -> bool:
    """Whether `loss.top_k` never takes fewer than all fakes: its first interval ends with the run, or a bound is 1."""
    loss, total = recipe.loss, recipe.train.total
    return bool(loss.top_k < 1 and (loss.top_k_every >= total > 0 or loss.top_k_min == 1))


def _looks_at_features(recipe: AnyRecipe) -> bool:
    return bool(recipe.loss.features > 0 or recipe.model.discriminator == "features")


def _names_all_mixers(recipe: AnyRecipe) -> bool:
    return all(recipe.model.value_at("mixer", side) is not None for side in recipe.model.resolutions)


def _enlarges_nothing(recipe: AnyRecipe) -> bool:
    """Whether `model.features_side` and the network's own side are both no larger than the images."""
    model, own = recipe.model, FEATURES_SIDES[recipe.model.features]
    is_own = model.features_side in (None, own) or not _looks_at_features(recipe)
    return bool(not is_own and max(model.features_side, own) <= model.size)


def _without(needed: str, has: Callable[[AnyRecipe], bool], section: str, *keys: str) -> tuple[Conflict, ...]:
    """Rows of keys that are set to other than their defaults, without what reads them."""

    def row(key: str) -> Conflict:
        def applies(recipe: AnyRecipe) -> bool:
            values = getattr(recipe, section)
            return bool(getattr(values, key) != type(values).model_fields[key].default and not has(recipe))

        return Conflict(f"{section}.{key}", applies, f"has no effect without {needed}")

    return tuple(map(row, keys))


SCHEDULES = (
    Conflict(
        "loss.tv_until",
        lambda recipe: recipe.loss.tv > 0 and (recipe.loss.tv_until or 0) > recipe.train.total > 0,
        "lies after train.total, so the weight loss.tv does not come to 0",
    ),
    Conflict(
        "loss.tv_until",
        lambda recipe: recipe.loss.tv_until is not None and recipe.loss.tv == 0,
        "has no effect without loss.tv",
    ),
    Conflict(
        "loss.gamma_until",
        lambda recipe: (
            recipe.loss.gamma_until is not None
            and recipe.loss.r1_gamma_end is None
            and recipe.loss.r2_gamma_end is None
        ),
        "has no effect without loss.r1_gamma_end or loss.r2_gamma_end",
    ),
    Conflict(
        "loss.mee_until",
        lambda recipe: recipe.loss.mee_until is not None and recipe.loss.mee_entropy == 0,
        "has no effect without loss.mee_entropy",
    ),
    Conflict(
        ("loss.top_k_every", "loss.top_k_min", "loss.top_k"),
        _never_shrinks,
        "G learns from all fakes to the end: the share shrinks every loss.top_k_every images, which must be below "
        "train.total, and never below loss.top_k_min",
    ),
)

TRANSFORMS = (
    Conflict(
        "augment.p",
        lambda recipe: recipe.augment.p is not None and not recipe.augment.is_on,
        "has no effect without augment.transforms or augment.apa",
    ),
    Conflict("augment.p", lambda recipe: _never_happens(recipe, "fixed", "scheduled"), _PLAIN),
    Conflict("augment.p_max", lambda recipe: _never_happens(recipe, "adaptive"), _PLAIN),
    Conflict(
        ("augment.speed", "augment.control"),
        lambda recipe: (
            recipe.augment.is_on
            and recipe.augment.control == "adaptive"
            and recipe.augment.speed > recipe.train.total > 0
        ),
        "an adaptive probability takes augment.speed images from 0 to 1, more than train.total, so it hardly moves; "
        "set about a tenth of train.total",
    ),
    Conflict(
        "augment.multipliers",
        _names_unused,
        "names transforms of a group that is not in augment.groups, so it changes nothing for them",
    ),
    Conflict(
        "augment.multipliers",
        lambda recipe: recipe.augment.transforms != "none" and not any(_factors(recipe)),
        "keeps the probability of every transform at 0, so D sees plain images alone; raise one",
    ),
    Conflict(
        "augment.color",
        lambda recipe: has_group(recipe, "color") and recipe.augment.color == 0,
        f"is 0, so the group color {_NOTHING}",
    ),
    Conflict(
        "augment.blur",
        lambda recipe: 0 < recipe.augment.blur < LEAST_BLUR,
        "is less than a third of a pixel, which blurs nothing",
    ),
)

ALONE = (
    *_without(
        'augment.control = "adaptive"',
        lambda recipe: "control" in recipe.augment.model_fields_set,  # another one was chosen, perhaps on top of a base
        *("augment", "p_max", "target", "speed"),
    ),
    *_without(
        'augment.transforms = "diffaugment"',
        lambda recipe: recipe.augment.transforms == "diffaugment",
        *("augment", "color", "translation", "cutout"),
    ),
    *_without("loss.lecam", lambda recipe: recipe.loss.lecam > 0, "loss", "lecam_from", "lecam_decay"),
    *_without("loss.zcr_d or loss.zcr_g", lambda recipe: recipe.loss.zcr_d or recipe.loss.zcr_g, "loss", "zcr_sigma"),
    *_without("loss.top_k", lambda recipe: recipe.loss.top_k < 1, "loss", "top_k_every", "top_k_min"),
    *_without("loss.adaptive_mix", lambda recipe: recipe.loss.adaptive_mix > 0, "loss", "adaptive_mix_noise"),
    *_without("loss.mee_entropy", lambda recipe: recipe.loss.mee_entropy > 0, "loss", "mee_buffer"),
    *_without("loss.features", lambda recipe: recipe.loss.features > 0, "loss", "features_from"),
    *_without(
        'loss.features or model.discriminator = "features"',
        _looks_at_features,
        *("model", "feature_heads", "features_side"),
    ),
    Conflict(
        "loss.augself_g",
        lambda recipe: recipe.loss.augself_g > 0 and recipe.loss.augself_d == 0,
        "G learns from heads that only loss.augself_d trains, so they stay random",
    ),
)

FROZEN = (
    Conflict(
        "model.features_side",
        _enlarges_nothing,
        "has no effect: images are only enlarged, and those of model.size are larger already",
    ),
    Conflict(
        "loss.adversarial",
        lambda recipe: recipe.model.discriminator == "features" and recipe.loss.adversarial != "hinge",
        'a D on frozen features alone was made for "hinge"; with "logistic", runs were reported to fail from the start',
    ),
    Conflict(
        "loss.path_length",
        lambda recipe: recipe.model.discriminator == "features" and recipe.loss.path_length > 0,
        "Projected GAN, a D on frozen features alone, was made without it",
    ),
)

MIXERS = (
    Conflict(
        "model.score_mask",
        lambda recipe: recipe.model.score_mask != "none" and not recipe.model.has_mixer(WINDOW_MIXERS),
        _NO_WINDOWS,
    ),
    Conflict(
        "model.bias_init",
        lambda recipe: (
            recipe.model.bias_init != "normal"
            and recipe.model.relative_bias
            and not recipe.model.has_mixer(WINDOW_MIXERS)
        ),
        _NO_WINDOWS,
    ),
    Conflict(
        "model.kv_heads",
        lambda recipe: recipe.model.kv_heads is not None and not recipe.model.has_mixer(KEY_MIXERS),
        _NO_KEYS,
    ),
    Conflict(
        "model.attention",
        lambda recipe: recipe.model.attention != "double" and _names_all_mixers(recipe),
        "has no effect: model.mixer has a mixer for every resolution",
    ),
    *_without("model.relative_bias", lambda recipe: recipe.model.relative_bias, "model", "bias_init"),
    *_without(
        f"a mixer of {', '.join(PADDED_MIXERS)}",
        lambda recipe: recipe.model.has_mixer(PADDED_MIXERS),
        *("model", "mixer_padding"),
    ),
    Conflict(
        ("model.mixer", "model.style"),
        lambda recipe: recipe.model.style == "none" and recipe.model.has_mixer(("latent", "latent-kmeans")),
        'gives style to the latents of "latent", which have AdaIN by w, although model.style is "none"',
    ),
)

IDLE = SCHEDULES + TRANSFORMS + ALONE + FROZEN + MIXERS


def idle_settings(recipe: AnyRecipe) -> list[str]:
    """A warning `section.key: reason` for each setting that does not do what it seems to, or is known to fail."""
    return [f"{row.reported_key(recipe)}: {row.reason}" for row in IDLE if row.applies(recipe)]
