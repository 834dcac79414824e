"""Signs of overfitting: one warning for each condition, at the right time, also after a resume."""

from __future__ import annotations

import pytest

from swincli.recipe import Recipe
from swincli.recipe.loading import parse_recipe
from swincli.recipe.schema import TrainSection
from swincli.training.run.overfitting import OverfittingSigns
from swincli.training.run.overfitting_advice import D_TRANSFORMS

RECIPE = Recipe(train=TrainSection(total=10_000))
MEMORISING = {
    "d/real_logit": 2.0,
    "d/fake_logit": -2.0,
    "d/real_sign": 0.5,
    "d/trained_logit": 2.5,
    "d/held_out_logit": -0.5,
}
HEALTHY = {**MEMORISING, "d/held_out_logit": 1.5}


def warnings(lines: list[dict[str, float]], signs: OverfittingSigns | None = None) -> list[str]:
    """Warnings after lines that are 100 images apart."""
    signs = signs or OverfittingSigns()
    return [text for number, line in enumerate(lines, 1) for text in signs.add(line, 100 * number, RECIPE)]


def test_logits_far_below_at_held_out_images_are_told_once() -> None:
    (told,) = warnings([MEMORISING] * 100)
    assert told.startswith("after 1,000 images: D has begun to memorise")
    assert "2.50 at them, -0.50 at held-out ones and -2.00 at generated ones" in told
    assert "augment" in told


@pytest.mark.parametrize("line", [HEALTHY, {**HEALTHY, "d/real_sign": 0.99}, {"d/real_sign": 0.6}, {}])
def test_a_healthy_run_is_not_warned(line: dict[str, float]) -> None:
    assert warnings([line] * 100) == []


def test_a_sign_must_last() -> None:
    assert warnings([HEALTHY] * 20 + [MEMORISING] * 7 + [HEALTHY] * 70) == []
    assert len(warnings([HEALTHY] * 20 + [MEMORISING] * 40)) == 1


def test_generated_images_among_the_reals_make_no_warning() -> None:
    """With APA at p = 0.8, the mean over what D was shown as real is near that of fakes."""
    line = {**HEALTHY, "d/held_out_logit": 1.0}
    assert warnings([{**line, "d/real_logit": 0.2 * 2.5 + 0.8 * -2.0}] * 100) == []


def test_without_held_out_images_the_mean_sign_decides() -> None:
    (told,) = warnings([{"d/real_sign": 0.95}] * 100)
    assert "mean sign" in told


def test_the_sign_of_pairs_says_nothing_of_memory() -> None:
    """The mean sign of D(real) - D(fake) is near 1 for any D that tells the two apart."""
    recipe, signs = (
        parse_recipe('[loss]\nadversarial = "relativistic"\n[train]\ntotal = 10000', "run"),
        OverfittingSigns(),
    )
    told = [text for number in range(1, 100) for text in signs.add({"d/real_sign": 1.0}, 100 * number, recipe)]
    assert told == []
    told = [text for number in range(1, 100) for text in signs.add(MEMORISING, 100 * number, recipe)]
    assert len(told) == 1


NONE, DIFFAUGMENT = "", '[augment]\ntransforms = "diffaugment"\n'
ADAPTIVE = f'{DIFFAUGMENT}control = "adaptive"\n'
SCHEDULED = f'{DIFFAUGMENT}control = "scheduled"\np = 1.0\np_until = 100\n'
FEATURES = '[model]\ndiscriminator = "features"\n[loss]\nr1_gamma = 0.0\n'
R1 = "; a higher loss.r1_gamma; or more images"
D_ADVICE = {  # a recipe, the probability of the transforms now, and what to train anew with
    "without transforms": (NONE, None, f'augment.transforms="diffaugment"{R1}'),
    "APA alone": ("[augment]\napa = true\np = 0.5", 0.5, f'augment.transforms="diffaugment"{R1}'),
    "bCR": (
        "[loss]\nbcr_real = 10.0",
        None,
        f'augment.transforms="diffaugment" in the place of bCR (loss.bcr_real=0 and loss.bcr_fake=0){R1}',
    ),
    "CUDA graphs": (
        "[run]\ncuda_graphs = true",
        None,
        f'augment.transforms="diffaugment" and run.cuda_graphs=false{R1}',
    ),
    "p that still rises": (
        ADAPTIVE,
        0.256,
        f"a lower augment.target or a smaller augment.speed, so that augment.p, now 0.26, rises further{R1}",
    ),
    "p at a low bound": (f"{ADAPTIVE}p_max = 0.4", 0.4, f"a higher augment.p_max, now 0.4{R1}"),
    "p at its bound": (ADAPTIVE, 0.8, f"a smaller D (model.d_width): more transforms do not help{R1}"),
    "p at its bound, of one group": (f'{ADAPTIVE}groups = ["color"]', 0.8, f"more of augment.groups{R1}"),
    "a low p": (f"{DIFFAUGMENT}p = 0.3", 0.3, f"a higher augment.p, now 0.3{R1}"),
    "a schedule to a low p": (f"{SCHEDULED}p_end = 0.2", 0.9, f"a higher augment.p_end, now 0.2{R1}"),
    "always": (DIFFAUGMENT, 1.0, f"a smaller D (model.d_width): more transforms do not help{R1}"),
    "a falling R1": (
        "[loss]\nr1_gamma_end = 1.0\ngamma_until = 100",
        None,
        'augment.transforms="diffaugment"; a higher loss.r1_gamma_end; or more images',
    ),
    "frozen features": (FEATURES, None, 'augment.transforms="diffaugment", or more images'),
    "frozen features, always": (FEATURES + DIFFAUGMENT, 1.0, "more images"),
}


@pytest.mark.parametrize("name", D_ADVICE)
def test_the_advice_is_what_the_recipe_has_not(name: str) -> None:
    text, p, words = D_ADVICE[name]
    recipe = parse_recipe(f"{text}\n[train]\ntotal = 10000", "run")
    signs, line = OverfittingSigns(), MEMORISING if p is None else {**MEMORISING, "augment/p": p}
    (told,) = [text for number in range(1, 20) for text in signs.add(line, 100 * number, recipe)]
    assert told.endswith(f"generated ones. Train anew with {words}. An earlier model may be better.")


def test_every_row_of_the_advice_is_tested_here() -> None:
    cases = [(parse_recipe(text, "run"), p) for text, p, _ in D_ADVICE.values()]
    first = {next((row for row in D_TRANSFORMS if row.applies(*case)), None) for case in cases}
    assert first == {*D_TRANSFORMS, None}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NONE, "lower train.g_lr and train.d_lr, or a higher loss.r1_gamma"),
        (FEATURES, "lower train.g_lr and train.d_lr"),
        (
            "[loss]\ntop_k = 0.9\ntop_k_every = 100",
            "lower train.g_lr and train.d_lr; a higher loss.r1_gamma; or loss.top_k=1, so that rare images count again",
        ),
    ],
)
def test_the_advice_for_g_is_what_the_recipe_can_have(text: str, words: str) -> None:
    recipe, signs = parse_recipe(f"{text}\n[train]\ntotal = 10000", "run"), OverfittingSigns(most_diverse=0.9)
    (told,) = signs.add({"samples/diversity": 0.1}, 9_000, recipe)
    assert told.endswith(f"Train anew from an earlier model (train.init) with {words}.")


def test_a_grid_that_becomes_alike_is_told_once_and_the_beginning_does_not_count() -> None:
    grids = [{"samples/diversity": value} for value in (0.9, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.25, 0.08, 0.02)]
    signs = OverfittingSigns()
    told = [text for number, line in enumerate(grids, 1) for text in signs.add(line, 100 * number, RECIPE)]
    assert told == [text for text in told if "0.080 and was 0.300" in text]
    assert len(told) == 1


def test_a_resumed_state_goes_on_and_tells_nothing_twice() -> None:
    signs = OverfittingSigns()
    assert len(warnings([MEMORISING] * 9, signs)) == 0
    resumed = OverfittingSigns(**signs.as_dict())
    assert len(resumed.add(MEMORISING, 1000, RECIPE)) == 1
    again = OverfittingSigns(**resumed.as_dict())
    assert again.add(MEMORISING, 1100, RECIPE) == []
