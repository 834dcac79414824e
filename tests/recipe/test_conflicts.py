"""Bad values of [loss] and [augment], and combinations that contradict each other: one error with key and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from swincli.errors import RecipeError
from swincli.recipe import load_recipe
from swincli.recipe.conflicts import CONFLICTS
from swincli.recipe.loading import parse_recipe
from swincli.recipe.objective import LossSection
from swincli.recipe.schema import Recipe

WEIGHTS = [
    name for name, field in LossSection.model_fields.items() if isinstance(field.default, float) and not field.default
]
BAD = {  # a recipe, the line that is named, the key, and part of the reason
    "unknown transforms": (
        '[augment]\ntransforms = "cutmix"',
        2,
        "augment.transforms",
        '"none", "diffaugment" or "ada"',
    ),
    "unknown group": (
        '[augment]\ntransforms = "diffaugment"\ngroups = ["blit"]',
        3,
        "augment.groups",
        "must name some of color, translation, cutout, each once",
    ),
    "a group twice": ('[augment]\ntransforms = "ada"\ngroups = ["blit", "blit"]', 3, "augment.groups", "each once"),
    "groups of nothing": ('[augment]\ngroups = ["color"]', 2, "augment.groups", "needs augment.transforms"),
    "p above 1": ('[augment]\ntransforms = "diffaugment"\np = 1.5', 3, "augment.p", "must be at most 1, not 1.5"),
    "p below 0": ('[augment]\ntransforms = "diffaugment"\np = -0.1', 3, "augment.p", "must be at least 0, not -0.1"),
    "p above its bound": (
        '[augment]\ntransforms = "ada"\ncontrol = "adaptive"\np = 0.9',
        4,
        "augment.p",
        "must be at most augment.p_max, 0.8",
    ),
    "a schedule without an end": (
        '[augment]\ntransforms = "ada"\ncontrol = "scheduled"',
        3,
        "augment.control",
        "needs augment.p_end and augment.p_until",
    ),
    "an end without a schedule": (
        '[augment]\ntransforms = "ada"\np_end = 0.3',
        3,
        "augment.p_end",
        'needs augment.control = "scheduled"',
    ),
    "control of nothing": ('[augment]\ncontrol = "adaptive"', 2, "augment.control", "needs augment.transforms"),
    "gamma without its time": ("[loss]\nr1_gamma_end = 1", 2, "loss.r1_gamma_end", "needs loss.gamma_until"),
    "elastic without a start": ("[loss]\nelastic = 1e3", 2, "loss.elastic", "set train.init too"),
    "repulsion without a start": (
        '[loss]\nrepel = 1\nrepel_models = ["runs/negatives"]',
        2,
        "loss.repel",
        "set train.init too",
    ),
    "repulsion from nothing": ("[loss]\nrepel = 1", 2, "loss.repel", "needs loss.repel_models"),
    "repulsion from one model twice": (
        '[loss]\nrepel_models = ["runs/a", "runs/a"]',
        2,
        "loss.repel_models",
        "names a model twice",
    ),
    "alpha of a repulsion that has none": (
        '[loss]\nrepel_form = "square"\nrepel_alpha = 2',
        3,
        "loss.repel_alpha",
        'belongs to loss.repel_form = "exponential"',
    ),
    "matching without attributes": ("[loss]\nmatching = 0.5", 2, "loss.matching", "needs attributes"),
    "matching with APA": (
        '[loss]\nmatching = 0.5\n[augment]\napa = true\np = 0.5\n[model]\nattributes = {caption = "text:384"}',
        2,
        "loss.matching",
        "brings its own labels",
    ),
    "matching of pairs": (
        '[loss]\nmatching = 0.5\nadversarial = "relativistic"\n[model]\nattributes = {caption = "text:384"}',
        2,
        "loss.matching",
        "no zero to compare",
    ),
    "groups of AugSelf twice": (
        '[loss]\naugself_groups = ["color", "color"]',
        2,
        "loss.augself_groups",
        "names a group twice",
    ),
    **{
        f"{name} below 0": (f"[loss]\n{name} = -1.0", 2, f"loss.{name}", "must be at least 0, not -1")
        for name in WEIGHTS
    },
    **{
        f"{key} after the run": (f'[{section}]\n{key} = "2M"\n{rest}', 2, f"{section}.{key}", "within train.total")
        for section, key, rest in (
            ("loss", "gamma_until", 'r1_gamma_end = 1.0\n[train]\ntotal = "1M"'),
            ("loss", "features_until", 'features = 1.0\nfeatures_end = 0.0\n[train]\ntotal = "1M"'),
            ("loss", "mee_until", 'mee_entropy = 5e-4\n[train]\ntotal = "1M"'),
            ("augment", "p_until", 'transforms = "ada"\ncontrol = "scheduled"\np_end = 0.3\n[train]\ntotal = "1M"'),
            ("train", "beta2_until", 'beta2_end = 0.9\ntotal = "1M"'),
            ("ema", "half_life_until", 'half_life_end = 500\n[train]\ntotal = "1M"'),
        )
    },
    "a graph of steps that differ": (
        "[run]\ncuda_graphs = true\n[loss]\nlecam = 0.1",
        2,
        "run.cuda_graphs",
        "use it with adversarial",
    ),
    "LeCam after the run": (
        '[loss]\nlecam = 0.1\nlecam_from = "2M"\n[train]\ntotal = "1M"',
        3,
        "loss.lecam_from",
        "must be below train.total",
    ),
    "LeCam after a short run": (
        '[loss]\nlecam = 0.1\n[train]\ntotal = "9k"',
        2,
        "loss.lecam",
        "loss.lecam_from images",
    ),
    "a shift of no pixel": (
        '[model]\nsize = 16\n[augment]\ntransforms = "diffaugment"\ntranslation = 0.03',
        5,
        "augment.translation",
        "half a pixel",
    ),
    "a hole of no pixel": (
        '[model]\nsize = 16\n[augment]\ntransforms = "diffaugment"\ncutout = 0.001',
        5,
        "augment.cutout",
        "half a pixel",
    ),
    "AugSelf of a shift of no pixel": (
        '[augment]\ntransforms = "diffaugment"\ntranslation=1e-3\n[loss]\naugself_d=1\naugself_groups=["translation"]',
        3,
        "augment.translation",
        "half a pixel",
    ),
    "bCR and transforms": (
        '[augment]\ntransforms = "diffaugment"\n[loss]\nbcr_fake = 10.0',
        4,
        "loss.bcr_fake",
        "use one of the two",
    ),
    "AugSelf alone": ("[loss]\naugself_g = 0.2", 2, "loss.augself_g", 'set augment.transforms = "diffaugment"'),
    "AugSelf of groups that are not applied": (
        '[augment]\ntransforms = "diffaugment"\ngroups = ["color"]\n[loss]\naugself_d = 1\naugself_groups = ["cutout"]',
        6,
        "loss.augself_groups",
        "must be among the groups of augment.groups",
    ),
    "AugSelf with a probability": (
        '[loss]\naugself_d = 1.0\n[augment]\ntransforms = "diffaugment"\np = 0.5',
        2,
        "loss.augself_d",
        "a fixed p of 1",
    ),
    "AugSelf of what seldom happens": (
        '[augment]\ntransforms = "diffaugment"\nmultipliers = {color = 0.5}\n[loss]\naugself_d = 1.0',
        3,
        "augment.multipliers",
        "a factor of 1",
    ),
    "APA, pairs and classes": (
        '[augment]\napa = true\np = 0.3\n[loss]\nadversarial = "relativistic"\n[model]\nclasses = 2',
        2,
        "augment.apa",
        "pairs equal labels",
    ),
    "Wasserstein without a bound": (
        '[model]\nspectral_norm = false\n[loss]\nadversarial = "wasserstein"\nr1_gamma = 0.0',
        4,
        "loss.adversarial",
        "bounded slope",
    ),
    "LeCam and pairs": (
        '[loss]\nadversarial = "relativistic"\nlecam = 1e-3',
        3,
        "loss.lecam",
        "only their differences",
    ),
    "top-k and pairs": ('[loss]\nadversarial = "relativistic"\ntop_k = 0.9', 3, "loss.top_k", "logits of fakes alone"),
    "a whole batch in parts": (
        '[model]\nstyle = "adabn"\n[run]\nmicro_batch = 4',
        2,
        "model.style",
        "run.micro_batch splits",
    ),
    "a probability that follows no sign": (
        '[augment]\ntransforms = "ada"\ncontrol = "adaptive"\n[loss]\nadversarial = "wasserstein"',
        3,
        "augment.control",
        "have no zero",
    ),
    "a second D that ends before it starts": (
        "[loss]\nfeatures = 1.0\nfeatures_from = 200\nfeatures_end = 0.0\nfeatures_until = 100",
        5,
        "loss.features_until",
        "before the second D starts",
    ),
    "top-k in parts": ("[loss]\ntop_k = 0.9\n[run]\nmicro_batch = 4", 2, "loss.top_k", "run.micro_batch splits"),
    "MEE's entropy in parts": (
        "[loss]\nmee_entropy = 5e-4\n[run]\nmicro_batch = 4",
        2,
        "loss.mee_entropy",
        "run.micro_batch splits",
    ),
    "no penalty to join": (
        "[loss]\njoint_penalty = true\nr1_gamma = 0.0",
        2,
        "loss.joint_penalty",
        "needs loss.r1_gamma or loss.r2_gamma",
    ),
    "features of patches": (
        '[model]\ndiscriminator = "patch"\n[loss]\nmee_dlle = 1.0',
        2,
        "model.discriminator",
        'use "wavelet" or "plain"',
    ),
    "attributes and classes": (
        "[model]\nclasses = 2\nattributes = {hair = 3}",
        3,
        "model.attributes",
        "one class or attributes",
    ),
    "DIsoMap and classes": (
        "[loss]\nmee_disomap = 1.0\n[model]\nclasses = 2",
        2,
        "loss.mee_disomap",
        "without classes",
    ),
    "AdaptiveMix and classes": (
        "[loss]\nadaptive_mix = 1.0\n[model]\nclasses = 2",
        2,
        "loss.adaptive_mix",
        "without classes",
    ),
    "AdaptiveMix and ADA's control": (
        '[loss]\nadaptive_mix = 1.0\n[augment]\ntransforms = "diffaugment"\ncontrol = "adaptive"',
        2,
        "loss.adaptive_mix",
        "changes the scale of the logits",
    ),
    "AdaptiveMix without groups": (
        "[loss]\nadaptive_mix = 1.0\n[model]\nstd_group = 1",
        2,
        "loss.adaptive_mix",
        "set model.std_group to 2 or more",
    ),
    "AdaptiveMix and a batch without groups": (
        "[loss]\nadaptive_mix = 1.0\n[train]\nbatch = 5",
        2,
        "loss.adaptive_mix",
        "train.batch to a multiple",
    ),
    "R1 through frozen features": (
        '[model]\ndiscriminator = "features"',
        2,
        "model.discriminator",
        "without R1 and R2",
    ),
    "frozen features twice": (
        '[loss]\nfeatures = 1.0\nr1_gamma = 0.0\n[model]\ndiscriminator = "features"',
        2,
        "loss.features",
        "is that already",
    ),
    "frozen features beside patches": (
        '[loss]\nfeatures = 1.0\n[model]\ndiscriminator = "patch"',
        2,
        "loss.features",
        "beside a D of patches",
    ),
    "rows and columns of large maps": (
        '[model]\nsize = 128\nmixer = {default = "axial", "16" = "double"}',
        3,
        "model.mixer",
        "too many above 64 px",
    ),
    "frozen features of tiny images": ("[model]\nsize = 16\n[loss]\nfeatures = 1.0", 2, "model.size", "32 px or more"),
    "a side between the maps of frozen features": (
        "[model]\nsize = 64\nfeatures_side = 240\n[loss]\nfeatures = 1.0",
        3,
        "model.features_side",
        "must be a multiple of 32",
    ),
    "features that end at no time": (
        "[loss]\nfeatures = 1.0\nfeatures_end = 0.0",
        3,
        "loss.features_end",
        "needs loss.features_until",
    ),
    "a time without an end": (
        '[loss]\nfeatures = 1.0\nfeatures_until = "1M"',
        3,
        "loss.features_until",
        "needs loss.features_end",
    ),
    "features that only end": (
        '[loss]\nfeatures_end = 1.0\nfeatures_until = "1M"',
        2,
        "loss.features_end",
        "needs loss.features",
    ),
    "frozen features after the run": (
        '[loss]\nfeatures = 1.0\nfeatures_from = "2M"\n[train]\ntotal = "1M"',
        3,
        "loss.features_from",
        "must be below train.total",
    ),
    "more dilations than heads": (
        '[model]\nsize = 1024\nmixer = "na-all"',
        3,
        "model.mixer",
        "needs a head for each",
    ),
    "fewer heads of keys in neighbourhoods": (
        '[model]\nkv_heads = 2\nmixer = "na"',
        2,
        "model.kv_heads",
        "a head of keys and values for every head",
    ),
    "fewer heads of keys by axes": (
        '[model]\nsize = 64\nkv_heads = 2\nmixer = {"64" = "axial"}',
        3,
        "model.kv_heads",
        "a head of keys and values for every head",
    ),
    "a blur after the run": (
        '[augment]\nblur_until = "2M"\nblur = 2.0\n[train]\ntotal = "1M"',
        2,
        "augment.blur_until",
        "within train.total",
    ),
    **{
        f"AdaptiveMix and {line}": (f"[loss]\n{line}\nadaptive_mix = 1.0", 2, f"loss.{line.split(' ')[0]}", "of blends")
        for line in (
            'adversarial = "relativistic"',
            "joint_penalty = true",
            "bcr_real = 1.0",
            "zcr_d = 1.0",
            "mee_entropy = 1e-3",
        )
    },
}


@pytest.mark.parametrize("name", BAD)
def test_one_error_with_key_and_line(tmp_path: Path, name: str) -> None:
    text, line, key, reason = BAD[name]
    path = tmp_path / "my.toml"
    path.write_text(text + "\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    [problem] = caught.value.problems
    assert problem.startswith(f"{key} (my.toml:{line}): ")
    assert reason in problem
    assert caught.value.exit_code == 2


def test_every_conflict_is_tested_here() -> None:
    told = [BAD[name][0] for name in BAD]
    missed = [conflict for conflict in CONFLICTS if not any(applies(conflict, text) for text in told)]
    assert [(conflict.key, conflict.reason) for conflict in missed] == []


def applies(conflict: object, text: str) -> bool:
    """Whether a conflict is the first one of a recipe."""
    try:
        parse_recipe(text, "bad")
    except RecipeError as error:
        return conflict.reason in str(error)  # type: ignore[attr-defined]
    return False


def test_an_override_is_named_as_one() -> None:
    with pytest.raises(RecipeError, match=r"loss.top_k \(--set\): takes the best fakes of the whole batch"):
        load_recipe("quickstart", ["loss.top_k=0.9", "run.micro_batch=4"])


def test_the_defaults_and_weights_of_nothing_contradict_nothing() -> None:
    assert len(WEIGHTS) > 12
    assert Recipe.model_validate({"loss": dict.fromkeys(WEIGHTS, 0.0)}) == Recipe()


def test_what_goes_together() -> None:
    both = '[augment]\ntransforms = "diffaugment"\n'
    for text in (
        both + "[loss]\naugself_d = 1.0\naugself_g = 0.2",
        both + "multipliers = {cutout = 0.5}\n[loss]\naugself_d = 1.0",
        both + '[loss]\nadversarial = "hinge"\nlecam = 0.3\nzcr_d = 20.0\nzcr_g = 0.5',
        both + 'control = "adaptive"\napa = true\n[model]\nclasses = 3',
        '[loss]\nadversarial = "wasserstein"',
        "[loss]\nadaptive_mix = 1.0\nlecam = 1e-3\n[train]\nbatch = 6",
        '[loss]\nadversarial = "relativistic"\nr2_gamma = 1.0\njoint_penalty = true\n[model]\nclasses = 2',
    ):
        parse_recipe(text, "good")
