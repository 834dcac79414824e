"""Two steps of every variant through the training loop, what they leave, and AdaBN's statistics through it all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dying_runs import dies_after
from first_steps import next_step_micro_batches

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sampling import generate
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state, restore, save_state
from swincli.training.run_step import run_step
from swincli.training.step.phases import make_phases

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
VARIANTS = [
    *(f"model.style={style}" for style in ("adaln", "adabn", "modulated-mlp", "cross-attention", "none")),
    "model.attention=single",
    "model.position=learned",
    "model.position=none",
    "model.relative_bias=false",
    "model.upsampling=nearest",
    "model.discriminator=plain",
    "model.discriminator=patch",
    "model.wavelet=db2",
    "loss.tv=5",
]
COMBINED = [  # every variant once, in as few runs as there are styles
    "model.style=adaln model.attention=single model.position=learned",
    "model.style=adabn model.discriminator=plain loss.tv=5",
    "model.style=modulated-mlp model.discriminator=patch model.upsampling=nearest",
    "model.style=cross-attention model.relative_bias=false model.wavelet=db2",
    "model.style=none model.position=none",
]
SHORT = ("train.total=8", "run.snapshot=8", "run.samples=8", "run.log=4", "loss.bcr_real=1", "loss.bcr_fake=1")


def test_the_combined_runs_have_every_variant() -> None:
    assert sorted(" ".join(COMBINED).split()) == sorted(VARIANTS)


@pytest.mark.parametrize("variants", [*COMBINED, *(pytest.param(one, marks=pytest.mark.slow) for one in VARIANTS)])
def test_a_run_of_every_variant_ends_in_a_model_that_samples(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, variants: str
) -> None:
    result = train(
        tiny_recipe(*variants.split(), *SHORT), store, tmp_path / "run", CPU, Console(quiet=True), resume=True
    )
    assert (result.images_seen, result.finished) == (8, True)
    start, end = (read_state(RunFolder(tmp_path / "run").state(seen)) for seen in (0, 8))
    for part in ("generator", "discriminator", "average"):
        assert all(value.isfinite().all() for value in end[part].values())
        moved = [name for name in start[part] if not torch.equal(start[part][name], end[part][name])]
        assert len(moved) > 0.8 * len(start[part])
    model = load_model(result.model, CPU)
    (images,) = generate(model, [0, 1], truncation=Truncation(0.7))
    (first,) = generate(model, [0], truncation=Truncation(0.7))
    assert images.shape == (2, 16, 16, 3)
    assert (images[0].int() - first[0].int()).abs().max() <= 1


def test_adabn_s_statistics_follow_the_generator_into_the_average(tiny_recipe: MakeRecipe, store: Store) -> None:
    state = build_state(tiny_recipe("model.style=adabn"), store.content_hash, CPU)
    phases = make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, state.recipe)
    fresh = {name: value.clone() for name, value in state.average.named_buffers()}
    for _ in range(2):
        run_step(state, phases, next_step_micro_batches(state, store))
    buffers = dict(state.average.named_buffers())
    assert len(buffers) == 3 * 3 * 2 * 2  # mean, variance and count of two norms, at two blocks, at three sides
    for name, value in state.generator.named_buffers():
        assert torch.equal(value, buffers[name])
        assert not torch.equal(value, fresh[name])


def test_adabn_s_statistics_are_in_the_state_file(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    recipe = tiny_recipe("model.style=adabn")
    state = build_state(recipe, store.content_hash, CPU)
    phases = make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe)
    run_step(state, phases, next_step_micro_batches(state, store))
    save_state(tmp_path / "state.pt", state)
    again = build_state(recipe, store.content_hash, CPU)
    restore(again, read_state(tmp_path / "state.pt"))
    for part in ("generator", "average"):
        before, after = getattr(state, part).state_dict(), getattr(again, part).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_with_adabn_stopping_and_going_on_gives_the_same_bits(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe("model.style=adabn", "train.total=16", "run.snapshot=8")
    train(recipe, store, tmp_path / "whole", CPU, Console(quiet=True), resume=True)
    with dies_after(3, monkeypatch):
        train(recipe, store, tmp_path / "broken", CPU, Console(quiet=True), resume=True)
    train(recipe, store, tmp_path / "broken", CPU, Console(quiet=True), resume=True)
    whole, broken = (read_state(RunFolder(tmp_path / name).state(16)) for name in ("whole", "broken"))
    for part in ("generator", "discriminator", "average"):
        assert all(torch.equal(value, broken[part][name]) for name, value in whole[part].items())
    models = [(tmp_path / name / "model-000000000016.safetensors").read_bytes() for name in ("whole", "broken")]
    assert models[0] == models[1]
