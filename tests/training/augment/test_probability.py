"""The probability of the transforms: fixed, scheduled, by ADA's controller; over steps, kills and a split batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dying_runs import dies_after
from first_steps import next_step_micro_batches
from same_run import assert_same_run
from torchrun import torchrun

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.recipe.objective import AugmentSection
from swincli.training.augment.probability import ADJUST_EVERY, adjusted_probability, planned_probability
from swincli.training.loop import train
from swincli.training.losses.memory import Step
from swincli.training.losses.remembered import new_memory, update_memory
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState, build_state, read_state, restore, save_state
from swincli.training.run_step import remember, run_step
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.batches import next_micro_batches
from swincli.training.step.phases import make_phases

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
ADAPTIVE = ("augment.transforms=ada", "augment.control=adaptive", "augment.p=0.4", "augment.speed=100")
KINDS = {
    "diffaugment": ("augment.transforms=diffaugment", "augment.p=0.6"),
    "ada": ("augment.transforms=ada", 'augment.groups=["blit", "geometry", "color", "filter", "noise", "cutout"]'),
    "adaptive": ADAPTIVE,
    "apa": ("augment.apa=true", "augment.p=0.5"),
}
OTHERS = sorted(KINDS.keys() - {"adaptive"})


def controlled(signs: list[float], recipe: Recipe) -> list[float]:
    """The probability after each step with these mean signs."""
    memory, seen, values = new_memory(recipe), 0, []
    for sign in signs:
        update_memory(memory, Step(recipe, seen, {"d/real_sign": sign}, {}))
        seen += recipe.train.batch
        values.append(memory.number("augment/p"))
    return values


def test_fixed_and_scheduled() -> None:
    assert planned_probability(AugmentSection(transforms="ada", p=0.25), 10**9) == 0.25
    assert planned_probability(AugmentSection(transforms="ada"), 0) == 1
    values = {"transforms": "ada", "control": "scheduled", "p_end": 0.3, "p_until": 20_000}
    section = AugmentSection.model_validate(values)
    planned = [planned_probability(section, seen) for seen in (0, 5_000, 10_000, 20_000, 10**9)]
    assert planned == pytest.approx([0, 0.3 * 0.14644661, 0.15, 0.3, 0.3])


def test_under_constant_overfitting_p_is_the_images_over_the_speed(tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe("augment.transforms=ada", "augment.control=adaptive", "augment.speed=500000")
    values = controlled([1.0] * 40, recipe)
    for step, p in enumerate(values, start=1):
        assert p == pytest.approx(step // ADJUST_EVERY * ADJUST_EVERY * recipe.train.batch / 500_000)


def test_alternating_about_the_target_p_stays_and_at_the_target_it_is_still(tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe(*ADAPTIVE, "augment.speed=500000")
    move = ADJUST_EVERY * recipe.train.batch / 500_000
    alternating = controlled(([0.7] * ADJUST_EVERY + [0.5] * ADJUST_EVERY) * 20, recipe)
    assert 0.4 - move / 1e6 < min(alternating) <= max(alternating) < 0.4 + move * 1.000001
    assert alternating[-1] == pytest.approx(0.4)
    assert adjusted_probability(0.4, 0.6, 100, recipe.augment) == 0.4


def test_p_stays_between_0_and_its_bound(tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe(*ADAPTIVE)
    assert max(controlled([1.0] * 80, recipe)) == 0.8
    assert controlled([-1.0] * 80, recipe)[-1] == 0


def test_r_t_includes_r1_s_phase(tiny_recipe: MakeRecipe) -> None:
    recipe, memory = tiny_recipe(*ADAPTIVE), new_memory(tiny_recipe(*ADAPTIVE))
    for number in range(ADJUST_EVERY):
        with_r1 = {"r1/real_sign": -1.0} if number == 0 else {}
        update_memory(memory, Step(recipe, 0, {"d/real_sign": 0.75, **with_r1}, {}))
    assert memory.number("augment/r") == pytest.approx((4 * 0.75 - 1) / 5)
    assert memory.number("augment/p") == pytest.approx(0.4 - 16 / 100)


def test_a_state_without_a_probability_starts_with_the_recipe_s(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    old = build_state(tiny_recipe(), "", CPU)
    save_state(tmp_path / "old.pt", old)
    assert "memory" not in read_state(tmp_path / "old.pt")
    state = build_state(tiny_recipe(*ADAPTIVE), "", CPU)
    restore(state, read_state(tmp_path / "old.pt"))
    assert state.memory.number("augment/p") == 0.4
    state.memory.values["augment/p"].fill_(0.7)
    save_state(tmp_path / "new.pt", state)
    again = build_state(tiny_recipe(*ADAPTIVE), "", CPU)
    restore(again, read_state(tmp_path / "new.pt"))
    assert again.memory.number("augment/p") == 0.7


def test_stopping_and_going_on_gives_the_same_bits(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(*ADAPTIVE, "augment.apa=true", "run.snapshot=16", "run.tensorboard=false")
    train(recipe, store, tmp_path / "whole", CPU, Console(quiet=True), resume=True)
    with dies_after(5, monkeypatch):
        train(recipe, store, tmp_path / "broken", CPU, Console(quiet=True), resume=True)
    train(recipe, store, tmp_path / "broken", CPU, Console(quiet=True), resume=True)
    assert_same_run(tmp_path / "broken", tmp_path / "whole")
    end = read_state(RunFolder(tmp_path / "whole").state(24))["memory"]
    assert float(end["augment/p"]) != 0.4
    assert float(end["augment/steps"]) == 6 % ADJUST_EVERY
    lines = [json.loads(line) for line in (tmp_path / "whole/stats.jsonl").read_text().splitlines()]
    assert all(0 < line["augment/p"] <= 0.8 for line in lines)
    assert ["augment/r" in line for line in lines] == [False, False, True]


def after_steps(recipe: Recipe, store: Store, steps: int) -> TrainingState:
    state = build_state(recipe, store.content_hash, CPU)
    optimizers = state.g_optimizer, state.d_optimizer
    phases = make_phases(state.generator, state.discriminator, *optimizers, recipe, memory=state.memory)
    for _ in range(steps):
        step = run_step(state, phases, next_step_micro_batches(state, store))
        remember(state, step.images_seen, step.get())
    return state


@pytest.mark.parametrize("kind", ["adaptive", *(pytest.param(kind, marks=pytest.mark.slow) for kind in OTHERS)])
def test_micro_batches_and_ranks_equal_the_whole_batch(tiny_recipe: MakeRecipe, store: Store, kind: str) -> None:
    common = (*KINDS[kind], "train.batch=8", "run.log=8", "run.snapshot=8", "model.std_group=2")
    whole, parts = tiny_recipe(*common), tiny_recipe(*common, "run.micro_batch=2")
    one, other = (after_steps(recipe, store, ADJUST_EVERY if kind == "adaptive" else 1) for recipe in (whole, parts))
    assert one.memory.values == other.memory.values
    for network in ("generator", "discriminator"):
        expected = getattr(one, network).state_dict()
        for name, value in getattr(other, network).state_dict().items():
            torch.testing.assert_close(value, expected[name], atol=3e-4, rtol=1e-3, msg=name)
    (batch,), split = next_micro_batches(whole, store, 8, split_batch(whole, 1), 0, CPU), split_batch(whole, 2)
    for rank in (0, 1):
        (part,) = next_micro_batches(whole, store, 8, split, rank, CPU)
        assert part.draws.keys() == batch.draws.keys()
        assert all(torch.equal(batch.draws[name][split.rank_indices(rank)], part.draws[name]) for name in part.draws)


@pytest.mark.parametrize(
    "condition",
    [
        (),
        ("model.pixel_mean=[0.485,0.456,0.406]", "model.pixel_std=[0.229,0.224,0.225]"),
        ("run.precision=bf16",),
    ],
    ids=["own range", "ImageNet's range", "bf16"],
)
def test_a_probability_of_0_leaves_the_run_as_it_is(
    tiny_recipe: MakeRecipe, store: Store, condition: tuple[str, ...]
) -> None:
    plain, *others = (
        after_steps(tiny_recipe(*condition, *switches), store, 1)
        for switches in (
            (),
            ("augment.transforms=ada", "augment.p=0", "augment.apa=true"),
            ("augment.transforms=diffaugment", "augment.p=0"),
        )
    )
    for other in others:
        for network in ("generator", "discriminator", "average"):
            expected = getattr(plain, network).state_dict()
            assert all(
                torch.equal(value, expected[name]) for name, value in getattr(other, network).state_dict().items()
            )


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_two_processes_equal_one(tiny_recipe_file: Path, tmp_path: Path, kind: str) -> None:
    overrides = (*KINDS[kind], "train.batch=8", "train.total=40", "model.std_group=2", "run.tensorboard=false")
    arguments = [part for override in overrides for part in ("--set", override)]
    for processes in (1, 2):
        command = ["-m", "--", "swincli", "train", tiny_recipe_file, "--device", "cpu", *arguments]
        done = torchrun(*command, "--out", tmp_path / str(processes), processes=processes)
        assert done.returncode == 0, done.stderr
    one, two = (read_state(RunFolder(tmp_path / str(count)).state(40)) for count in (1, 2))
    if kind == "adaptive":
        assert one["memory"]["augment/p"] == two["memory"]["augment/p"] != 0.4
    for network in ("generator", "discriminator"):
        for name, value in two[network].items():
            torch.testing.assert_close(value, one[network][name], atol=3e-4, rtol=1e-3, msg=name)
