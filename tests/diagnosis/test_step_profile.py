"""Real steps of tiny networks, profiled as training would run them."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable

import pytest
import torch

from swincli.console import Console
from swincli.diagnosis.diagnosis import diagnose
from swincli.diagnosis.estimate import estimate_run
from swincli.diagnosis.machine import Machine
from swincli.diagnosis.peak_memory import PeakMemory
from swincli.diagnosis.step_profile import StepProfile, profile_steps
from swincli.diagnosis.step_size import SizeMeasurement, StepSize
from swincli.diagnosis.synthetic_training import AVERAGES, SyntheticTraining, synthetic_batch
from swincli.errors import RecipeError, ResourceError
from swincli.recipe import Recipe
from swincli.training.step.batch_shards import split_batch

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]


def profiled(recipe: Recipe, steps: int = 1) -> StepProfile:
    return profile_steps(recipe, CPU, Console(quiet=True), steps)


@pytest.mark.parametrize(
    ("overrides", "size"),
    [
        ([], StepSize(4)),
        (["train.batch=8", "run.micro_batch=4", "ema.power=[0.05, 0.1]", "run.channels_last=true"], StepSize(4, 2)),
        (["loss.bcr_real=10.0", "loss.bcr_fake=10.0", "model.classes=3"], StepSize(4)),
        (["model.attributes={caption = 'text:8'}", "loss.matching=0.5"], StepSize(4)),
        (["model.discriminator=patch", "run.micro_batch=2", "run.recompute_from=8"], StepSize(2, 2)),
    ],
)
def test_steps_are_those_of_the_recipe(overrides: list[str], size: StepSize, tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe(*overrides)
    shown = profiled(recipe)
    assert shown.measurement.size == size
    assert list(shown.seconds) == ["D", "R1", "G", AVERAGES]
    assert min(shown.seconds.values()) > 0
    assert shown.intervals == {"D": 1, "R1": 2, "G": 1}
    assert shown.measurement.peak_bytes >= shown.before > 0
    assert estimate_run(recipe, split_batch(recipe, 1), shown).exact


def test_so_many_steps_count_as_are_asked_for(tiny_recipe: MakeRecipe) -> None:
    assert profiled(tiny_recipe("loss.r1_gamma=0.0"), steps=3).steps == 3


@pytest.mark.parametrize(
    ("control", "p"),
    [
        (["augment.control=adaptive"], 0.8),
        (["augment.control=scheduled", "augment.p_end=0.3", "augment.p_until=8"], 0.3),
        ([], 1.0),
    ],
)
def test_transforms_are_as_frequent_as_at_the_end_of_the_run(
    tiny_recipe: MakeRecipe, control: list[str], p: float
) -> None:
    training = SyntheticTraining(tiny_recipe("augment.transforms=ada", *control), CPU)
    (batch,) = synthetic_batch(training.recipe, StepSize(4), CPU)
    assert training.phases[0].run([batch])["augment/p"] == pytest.approx(p)


def test_a_synthetic_batch_is_like_a_batch_of_training(tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe("loss.bcr_real=10.0", "model.classes=3")
    first, second = synthetic_batch(recipe, StepSize(4, 2), CPU)
    assert first.reals.shape == second.reals.shape == (4, 3, 16, 16)
    assert -1 <= first.reals.min() < first.reals.max() <= 1
    assert first.real_augment is not None
    assert first.labels is not None
    assert first.labels.max() < 3
    assert not torch.equal(first.g_latents, second.g_latents)


def out_of_memory_above(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let steps of more images fail as on a GPU that is too small; there is none here to fill."""
    step = SyntheticTraining.step

    def limited(training: SyntheticTraining, size: StepSize, on_phase: Callable[[str], None]) -> dict[str, float]:
        if size.micro_batch_size > images:
            training.state.generator.requires_grad_(True)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return step(training, size, on_phase)

    monkeypatch.setattr(SyntheticTraining, "step", limited)


def test_a_size_that_does_not_fit_is_skipped(tiny_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_above(4, monkeypatch)
    shown = profiled(tiny_recipe("train.batch=16"))
    assert shown.measurement.size == StepSize(4)
    assert shown.too_large == (StepSize(16), StepSize(8))


def test_the_largest_micro_batch_that_fits_is_proposed(
    here: Machine, tiny_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_memory_above(4, monkeypatch)
    diagnosis = diagnose(tiny_recipe("train.batch=16"), here, CPU, Console(quiet=True), steps=1)
    (finding,) = [finding for finding in diagnosis.findings if finding.about == "memory"]
    assert (finding.severity, finding.message) == (
        "error",
        "cpu: out of memory with micro-batches of 8 images at 16 px",
    )
    assert "  --set run.micro_batch=4  (" in finding.hint
    assert diagnosis.estimate is not None


def test_a_size_that_never_fits_is_an_error(tiny_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_above(0, monkeypatch)
    with pytest.raises(
        ResourceError, match=r"micro-batches of 1 image at 16 px \(could not allocate 2\.00 GiB\)"
    ) as caught:
        profiled(tiny_recipe("train.batch=8"))
    assert "--set run.micro_batch=4" in (caught.value.hint or "")  # training takes 8


def test_a_batch_that_cannot_be_split_is_an_error(tiny_recipe: MakeRecipe) -> None:
    with pytest.raises(RecipeError, match=r"run.micro_batch: 3"):
        profiled(tiny_recipe("run.micro_batch=3"))


def test_the_estimate_scales_to_the_batch(tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe("train.batch=32", "train.total=64000", "loss.r1_interval=16", "run.micro_batch=8")
    seconds = {"D": 1.0, "R1": 3.2, "G": 2.0, AVERAGES: 0.4}
    shown = StepProfile(SizeMeasurement(StepSize(4), 6.6, 1000, 1400), 200, 2, seconds, {"D": 1, "R1": 16, "G": 1})
    made = estimate_run(recipe, split_batch(recipe, 1), shown)
    assert [phase.seconds_per_step for phase in made.phases] == pytest.approx([8.0, 1.6, 16.0, 0.4])
    assert made.seconds_per_step == pytest.approx(26.0)
    assert made.sec_per_kimg == pytest.approx(812.5)
    assert made.hours == pytest.approx(812.5 * 64 / 3600)
    assert made.memory == 1800
    assert (made.exact, made.exact_memory) == (False, False)


def test_peak_memory_sees_what_is_gone_at_the_end() -> None:
    size = 100 * 2**20
    with PeakMemory(CPU) as peak, mmap.mmap(-1, size) as fresh:  # mmap: PyTorch may reuse memory that was freed here
        fresh.write(b"1" * size)
    assert peak.bytes - peak.before > size // 2


def test_a_gpu_keeps_its_own_peak_and_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling would hold Python's lock while the steps that count are timed."""
    reserved = iter([100, 700])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: next(reserved))
    threads = threading.active_count()
    with PeakMemory(torch.device("cuda")) as peak:
        assert threading.active_count() == threads
    assert (peak.before, peak.bytes) == (100, 700)
