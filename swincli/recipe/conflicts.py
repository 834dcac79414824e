"""Combinations of settings, over all sections of a recipe, that contradict each other, as a table with the reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swincli.recipe.networks import ALL_HEADS_FROM, FEATURES_STRIDE
from swincli.recipe.section import inconsistent

AnyRecipe = Any
"""A `Recipe`, which imports this table."""


@dataclass(frozen=True)
class Conflict:
    """A combination of settings that contradicts itself.

    Attributes:
        key: The key that is reported; of several, the first that the recipe sets.
        applies: Whether a recipe has the combination.
        reason: Why it is refused, and what to do.
    """

    key: str | tuple[str, ...]
    applies: Callable[[AnyRecipe], bool]
    reason: str

    def reported_key(self, recipe: AnyRecipe) -> str:
        """`section.key` of the key that is reported."""
        keys = (self.key,) if isinstance(self.key, str) else self.key
        parts = {key: key.split(".") for key in keys}
        return next((key for key, (section, name) in parts.items() if _is_set(recipe, section, name)), keys[0])


def _is_set(recipe: AnyRecipe, section: str, name: str) -> bool:
    content = getattr(recipe, section)
    return name in content.model_fields_set and bool(getattr(content, name))


AUGSELF, MEE, BCR = ("augself_d", "augself_g"), ("mee_dlle", "mee_disomap", "mee_entropy"), ("bcr_real", "bcr_fake")


def _uses(recipe: AnyRecipe, *names: str) -> bool:
    return any(getattr(recipe.loss, name) for name in names)


def _keys(*names: str) -> tuple[str, ...]:
    return tuple(f"loss.{name}" for name in names)


def _splits(recipe: AnyRecipe) -> bool:
    """Whether a step has more than one micro-batch, in one process too."""
    return bool(recipe.run.micro_batch is not None and recipe.run.micro_batch < recipe.train.batch)


def _is_paired(recipe: AnyRecipe) -> bool:
    return bool(recipe.loss.adversarial == "relativistic")


def _looks_at_features(recipe: AnyRecipe) -> bool:
    return bool(recipe.model.discriminator == "features" or recipe.loss.features)


def _lacks_heads(model: Any, side: int) -> bool:
    dilations = (side // model.window_at(side)).bit_length()
    return bool(model.mixer_at(side) == "na-all" and model.heads_at(side) < dilations)


def _cannot_share(model: Any, side: int) -> bool:
    """Whether `kv_heads` asks for what the mixer of a resolution does not have."""
    mixer = model.mixer_at(side)
    has_all = mixer in ("na", "na-all", "axial") and side >= ALL_HEADS_FROM[mixer]
    return bool(has_all and model.kv_heads_at(side) < model.heads_at(side))


def _has_groups(recipe: AnyRecipe) -> bool:
    """Whether the minibatch standard deviation has groups of two or more images."""
    batch = recipe.train.batch
    return any(batch % size == 0 for size in range(2, min(recipe.model.std_group, batch) + 1))


def _ends_late(section: str, name: str) -> Conflict:
    """A schedule that would end after the run."""
    return Conflict(
        f"{section}.{name}",
        lambda recipe: (getattr(getattr(recipe, section), name) or 0) > recipe.train.total > 0,
        "must end within train.total",
    )


def has_group(recipe: AnyRecipe, group: str) -> bool:
    """Whether DiffAugment's group is among the recipe's transforms."""
    return bool(recipe.augment.transforms == "diffaugment" and group in recipe.augment.chosen)


_TOO_SMALL = "less than half a pixel at model.size, so nothing; raise it, or leave the group out of augment.groups"

TRANSFORMS = (
    Conflict(
        "augment.translation",
        lambda recipe: has_group(recipe, "translation") and recipe.augment.shift_pixels(recipe.model.size) == 0,
        f"is a shift of {_TOO_SMALL}",
    ),
    Conflict(
        "augment.cutout",
        lambda recipe: has_group(recipe, "cutout") and recipe.augment.hole_pixels(recipe.model.size) == 0,
        f"is a hole of {_TOO_SMALL}",
    ),
    Conflict(
        _keys(*BCR),
        lambda recipe: recipe.augment.transforms != "none" and _uses(recipe, *BCR),
        "bCR asks D to ignore what augment.transforms already hides from it; use one of the two",
    ),
    Conflict(
        _keys(*AUGSELF),
        lambda recipe: (
            _uses(recipe, *AUGSELF)
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
            _uses(recipe, *AUGSELF)
            and not (recipe.loss.augself_groups and set(recipe.loss.augself_groups) <= set(recipe.augment.chosen))
        ),
        "must be among the groups of augment.groups, and at least one",
    ),
    Conflict(
        ("augment.multipliers", "loss.augself_groups"),
        lambda recipe: (
            _uses(recipe, *AUGSELF) and any(recipe.augment.factor(group) < 1 for group in recipe.loss.augself_groups)
        ),
        "AugSelf predicts transforms that always happen; leave the groups of loss.augself_groups at a factor of 1",
    ),
    Conflict(
        "augment.apa",
        lambda recipe: recipe.augment.apa and _is_paired(recipe) and recipe.model.is_conditional,
        'a fake that replaces a real has a label of its own, and "relativistic" pairs equal labels; train without '
        "classes, or without one of the two",
    ),
)

LOGITS = (
    Conflict(
        "loss.adversarial",
        lambda recipe: (
            recipe.loss.adversarial == "wasserstein"
            and not (recipe.model.spectral_norm or recipe.loss.has_r1 or recipe.loss.has_r2)
        ),
        '"wasserstein" needs a D of bounded slope; set model.spectral_norm = true, or a weight of R1 or R2',
    ),
    Conflict(
        ("augment.control", "loss.adversarial"),
        lambda recipe: recipe.augment.is_on and recipe.augment.control == "adaptive" and not recipe.loss.has_boundary,
        '"adaptive" follows the sign of D\'s logits, and those of "wasserstein" have no zero; use a fixed or scheduled '
        "probability, or another loss",
    ),
    Conflict(
        "loss.lecam",
        lambda recipe: _uses(recipe, "lecam") and _is_paired(recipe),
        'ties logits to averages; with "relativistic" only their differences mean anything',
    ),
    Conflict(
        _keys("lecam_from", "lecam"),
        lambda recipe: _uses(recipe, "lecam") and recipe.loss.lecam_from >= recipe.train.total > 0,
        "LeCam starts after loss.lecam_from images, which must be below train.total",
    ),
    Conflict(
        "loss.top_k",
        lambda recipe: recipe.loss.top_k < 1 and _is_paired(recipe),
        'compares logits of fakes alone; "relativistic" has none that mean anything without their real',
    ),
    Conflict(
        "loss.top_k",
        lambda recipe: recipe.loss.top_k < 1 and _splits(recipe),
        "takes the best fakes of the whole batch, which run.micro_batch splits",
    ),
    Conflict(
        "loss.mee_entropy",
        lambda recipe: _uses(recipe, "mee_entropy") and _splits(recipe),
        "takes the logarithm of a mean over the whole batch, which run.micro_batch splits",
    ),
    Conflict(
        "loss.joint_penalty",
        lambda recipe: recipe.loss.joint_penalty and not (recipe.loss.has_r1 or recipe.loss.has_r2),
        "needs loss.r1_gamma or loss.r2_gamma",
    ),
)

FEATURES = (
    Conflict(
        "model.discriminator",
        lambda recipe: (
            recipe.model.discriminator in ("patch", "features") and _uses(recipe, *AUGSELF, *MEE, "adaptive_mix")
        ),
        '"patch" and "features" have no feature vector of an image, which AugSelf, AdaptiveMix and MEE need; use '
        '"wavelet" or "plain"',
    ),
    Conflict(
        "loss.mee_disomap",
        lambda recipe: _uses(recipe, "mee_disomap") and recipe.model.is_conditional,
        "DIsoMap blends images of different classes and does not know a label for them; train without classes",
    ),
    Conflict(
        "loss.adaptive_mix",
        lambda recipe: _uses(recipe, "adaptive_mix") and recipe.augment.control == "adaptive",
        "AdaptiveMix changes the scale of the logits that an adaptive augment.control measures; use a fixed or "
        "scheduled one",
    ),
    Conflict(
        "loss.adaptive_mix",
        lambda recipe: _uses(recipe, "adaptive_mix") and recipe.model.is_conditional,
        "AdaptiveMix blends images of different classes and does not know a label for them; train without classes",
    ),
    Conflict(
        "loss.adaptive_mix",
        lambda recipe: _uses(recipe, "adaptive_mix") and not _has_groups(recipe),
        "AdaptiveMix blends images of one group of the minibatch standard deviation; set model.std_group to 2 or more, "
        "and train.batch to a multiple of it",
    ),
    Conflict(
        (*_keys("joint_penalty", *BCR, "zcr_d", *AUGSELF, *MEE), "loss.adversarial"),
        lambda recipe: (
            _uses(recipe, "adaptive_mix")
            and (_is_paired(recipe) or _uses(recipe, "joint_penalty", *BCR, "zcr_d", *AUGSELF, *MEE))
        ),
        "needs logits or features of single images, and loss.adaptive_mix gives those of blends; use one of the two",
    ),
)

FROZEN = (
    Conflict(
        (*_keys("r1_gamma", "r2_gamma"), "model.discriminator"),
        lambda recipe: recipe.model.discriminator == "features" and (recipe.loss.has_r1 or recipe.loss.has_r2),
        'discriminator "features" is trained without R1 and R2; set loss.r1_gamma and loss.r2_gamma to 0',
    ),
    Conflict(
        "loss.features",
        lambda recipe: recipe.model.discriminator == "features" and _uses(recipe, "features"),
        'adds a second D on frozen features, and model.discriminator = "features" is that already',
    ),
    Conflict(
        "loss.features",
        lambda recipe: recipe.model.discriminator == "patch" and _uses(recipe, "features"),
        'adds logits of whole images beside a D of patches; use model.discriminator = "wavelet" or "plain"',
    ),
    Conflict(
        "model.size",
        lambda recipe: _looks_at_features(recipe) and recipe.model.size < 32,
        "is too small for frozen features, which need 32 px or more",
    ),
    Conflict(
        "model.features_side",
        lambda recipe: (
            _looks_at_features(recipe)
            and (recipe.model.features_side or 0) > recipe.model.size
            and recipe.model.features_side % FEATURES_STRIDE > 0
        ),
        f"must be a multiple of {FEATURES_STRIDE}, the stride of the pretrained network's smallest map",
    ),
    Conflict(
        _keys("features_from", "features"),
        lambda recipe: _uses(recipe, "features") and recipe.loss.features_from >= recipe.train.total > 0,
        "the second D starts after loss.features_from images, which must be below train.total",
    ),
    Conflict(
        ("loss.features_until", "loss.features_from"),
        lambda recipe: (
            _uses(recipe, "features")
            and recipe.loss.features_end == 0
            and (recipe.loss.features_until or 0) <= recipe.loss.features_from
        ),
        "the weight comes to 0 at loss.features_until, before the second D starts at loss.features_from",
    ),
)

SCHEDULES = (
    _ends_late("augment", "blur_until"),
    _ends_late("loss", "gamma_until"),
    _ends_late("loss", "features_until"),
    _ends_late("loss", "mee_until"),
    _ends_late("augment", "p_until"),
    _ends_late("train", "beta2_until"),
    _ends_late("ema", "half_life_until"),
)

LARGEST_AXIAL = 64
"""Largest side of a map for the mixer "axial"."""

MIXERS = (
    Conflict(
        "model.mixer",
        lambda recipe: any(_lacks_heads(recipe.model, side) for side in recipe.model.resolutions),
        '"na-all" has a dilation for every power of two up to side / window, and needs a head for each; raise '
        "model.min_heads, or model.heads where it is set",
    ),
    Conflict(
        "model.kv_heads",
        lambda recipe: any(_cannot_share(recipe.model, side) for side in recipe.model.resolutions),
        '"na", "na-all" and "axial" have a head of keys and values for every head; name the resolutions of '
        "model.kv_heads",
    ),
    Conflict(
        "model.mixer",
        lambda recipe: any(
            recipe.model.mixer_at(side) == "axial" for side in recipe.model.resolutions if side > LARGEST_AXIAL
        ),
        '"axial" keeps as many logits for every position as its row and its column are long, too many above 64 px; '
        'name its resolutions, such as mixer = {default = "double", "64" = "axial"}',
    ),
)

LABELS = (
    Conflict(
        "loss.matching",
        lambda recipe: recipe.loss.matching > 0 and not recipe.model.attributes,
        "needs attributes: set model.attributes",
    ),
    Conflict(
        ("loss.matching", "augment.apa"),
        lambda recipe: recipe.loss.matching > 0 and recipe.augment.apa,
        "a fake that replaces a real brings its own labels, and the wrong ones are not known to be wrong for it; train "
        "without one of the two",
    ),
    Conflict(
        ("loss.matching", "loss.adversarial"),
        lambda recipe: recipe.loss.matching > 0 and _is_paired(recipe),
        '"relativistic" logits have no zero to compare wrong labels with; take another adversarial loss',
    ),
    Conflict(
        ("model.attributes", "model.classes"),
        lambda recipe: recipe.model.classes > 0 and recipe.model.attributes is not None,
        "an image has one class or attributes; set one of model.classes and model.attributes",
    ),
)

START = (
    Conflict(
        "loss.elastic",
        lambda recipe: recipe.loss.elastic > 0 and recipe.train.init is None,
        "keeps G near a checkpoint; set train.init too",
    ),
    Conflict(
        "loss.repel",
        lambda recipe: recipe.loss.repel > 0 and recipe.train.init is None,
        "moves G of a checkpoint away from other models; set train.init too",
    ),
)

_REPEATABLE = (
    "adversarial", "r1_gamma", "r1_interval", "r1_gamma_end", "r2_gamma", "r2_gamma_end", "gamma_until",
    "joint_penalty", "bcr_real", "bcr_fake", "tv", "tv_until",
)  # fmt: skip


def _repeats_its_steps(recipe: AnyRecipe) -> bool:
    """Whether a step depends on tensors and weights of losses alone, not on what losses remember or transforms plan."""
    loss, augment, discriminator = recipe.loss, recipe.augment, recipe.model.discriminator
    changed = {name for name in type(loss).model_fields if getattr(loss, name) != type(loss).model_fields[name].default}
    is_plain = augment.transforms == "none" and not augment.apa and not augment.blur
    return changed <= set(_REPEATABLE) and is_plain and discriminator != "features"


MACHINE = (
    Conflict(
        "model.style",
        lambda recipe: recipe.model.style == "adabn" and _splits(recipe),
        '"adabn" takes statistics over the whole batch, which run.micro_batch splits',
    ),
    Conflict(
        "run.cuda_graphs",
        lambda recipe: recipe.run.cuda_graphs and not _repeats_its_steps(recipe),
        "a graph repeats a step as it was captured; use it with adversarial, R1, R2, bCR and tv alone, without "
        'augment.transforms, apa, blur and discriminator "features"',
    ),
)

CONFLICTS = MACHINE + TRANSFORMS + LOGITS + FEATURES + FROZEN + SCHEDULES + MIXERS + LABELS + START


def check_conflicts(recipe: AnyRecipe) -> None:
    """Refuse the first combination that contradicts itself.

    Raises:
        PydanticCustomError: it, for pydantic's list of problems.
    """
    for conflict in CONFLICTS:
        if conflict.applies(recipe):
            raise inconsistent(conflict.reported_key(recipe), conflict.reason)
