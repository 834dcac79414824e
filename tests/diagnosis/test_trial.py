"""Real steps of tiny networks, measured as training would run them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from swincli.console import Console
from swincli.diagnosis.bench import AVERAGES, Bench, noise
from swincli.diagnosis.diagnosis import diagnose
from swincli.diagnosis.estimate import estimate
from swincli.diagnosis.load import Known, Load
from swincli.diagnosis.machine import survey
from swincli.diagnosis.peak import PeakMemory
from swincli.diagnosis.trial import Trial, try_recipe
from swincli.errors import RecipeError, ResourceError
from swincli.recipe import Recipe
from swincli.training.step.batch_shards import split_batch

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]


def trial(recipe: Recipe, steps: int = 1) -> Trial:
    return try_recipe(recipe, CPU, Console(quiet=True), steps)


@pytest.mark.parametrize(
    ("overrides", "load"),
    [
        ([], Load(4)),
        (["train.batch=8", "run.micro_batch=4"], Load(4, 2)),
        (["loss.bcr_real=10.0", "loss.bcr_fake=10.0"], Load(4)),
        (["model.discriminator=patch", "run.micro_batch=2", "run.recompute_from=8"], Load(2, 2)),
        (["ema.power=[0.05, 0.1]", "run.channels_last=true"], Load(4)),
        (["model.classes=3"], Load(4)),
    ],
)
def test_steps_are_those_of_the_recipe(overrides: list[str], load: Load, tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe(*overrides)
    shown = trial(recipe)
    assert shown.known.load == load
    assert list(shown.seconds) == ["D", "R1", "G", AVERAGES]
    assert min(shown.seconds.values()) > 0
    assert shown.intervals == {"D": 1, "R1": 2, "G": 1}
    assert shown.known.peak >= shown.before > 0
    assert estimate(recipe, split_batch(recipe, 1), shown).exact


def test_so_many_steps_count_as_are_asked_for(tiny_recipe: MakeRecipe) -> None:
    assert trial(tiny_recipe("loss.r1_gamma=0.0"), steps=3).steps == 3


def test_noise_is_a_batch_of_training(tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe("loss.bcr_real=10.0", "model.classes=3")
    first, second = noise(recipe, Load(4, 2), CPU)
    assert first.reals.shape == second.reals.shape == (4, 3, 16, 16)
    assert -1 <= first.reals.min() < first.reals.max() <= 1
    assert first.real_augment is not None
    assert first.labels is not None
    assert first.labels.max() < 3
    assert not torch.equal(first.g_latents, second.g_latents)


def out_of_memory_above(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let steps of more images fail as on a GPU that is too small; there is none here to fill."""
    step = Bench.step

    def limited(bench: Bench, load: Load, tell: Callable[[str], None]) -> dict[str, float]:
        if load.images > images:
            bench.state.generator.requires_grad_(True)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return step(bench, load, tell)

    monkeypatch.setattr(Bench, "step", limited)


def test_a_load_that_does_not_fit_is_passed_over(tiny_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_above(4, monkeypatch)
    shown = trial(tiny_recipe("train.batch=16"))
    assert shown.known.load == Load(4)
    assert shown.refused == (Load(16), Load(8))


def test_the_largest_passes_that_fit_are_proposed(tiny_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_above(4, monkeypatch)
    diagnosis = diagnose(tiny_recipe("train.batch=32"), survey(CPU), CPU, Console(quiet=True), steps=1)
    (finding,) = [finding for finding in diagnosis.findings if finding.about == "memory"]
    assert finding.severity == "error"
    assert finding.message == "cpu: out of memory with micro-batches of 8 images at 16 px"
    assert "  --set run.micro_batch=4  (" in finding.hint
    assert diagnosis.estimate is not None


def test_a_load_that_never_fits_is_an_error(tiny_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_above(0, monkeypatch)
    with pytest.raises(ResourceError, match=r"of 1 image at 16 px \(could not allocate 2\.00 GiB") as caught:
        trial(tiny_recipe("train.batch=8"))
    assert "--set run.micro_batch=4" in (caught.value.hint or "")  # training takes 8


def test_a_batch_that_cannot_be_dealt_out_is_an_error(tiny_recipe: MakeRecipe) -> None:
    with pytest.raises(RecipeError, match=r"run.micro_batch: 3"):
        trial(tiny_recipe("run.micro_batch=3"))


def test_the_estimate_scales_to_the_batch(tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe("train.batch=32", "train.total=64000", "loss.r1_interval=16", "run.micro_batch=8")
    seconds = {"D": 1.0, "R1": 3.2, "G": 2.0, AVERAGES: 0.4}
    shown = Trial(Known(Load(4), 6.6, 1000, 1400), 200, 2, seconds, {"D": 1, "R1": 16, "G": 1})
    made = estimate(recipe, split_batch(recipe, 1), shown)
    assert [phase.a_step for phase in made.phases] == pytest.approx([8.0, 1.6, 16.0, 0.4])
    assert made.seconds_a_step == pytest.approx(26.0)
    assert made.sec_per_kimg == pytest.approx(812.5)
    assert made.hours == pytest.approx(812.5 * 64 / 3600)
    assert made.memory == 1800
    assert (made.exact, made.exact_memory) == (False, False)


def test_peak_memory_sees_what_is_gone_at_the_end() -> None:
    size = 300 * 2**20
    with PeakMemory(CPU) as peak:
        torch.ones(size, dtype=torch.uint8)
    assert peak.bytes - peak.before > size // 2
