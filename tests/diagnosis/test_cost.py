"""Multiply-adds against published figures; predicted files against the files of a real run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.diagnosis.cost import recipe_cost, run_files
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe, load_recipe
from swincli.training.loop import train
from swincli.training.schedules import crossed

MakeRecipe = Callable[..., Recipe]


def test_parameters_and_multiply_adds_are_the_releases_at_256_px() -> None:
    """Within the last published digit; for D within 1 %, because the release filters more (`count_multiply_adds`)."""
    cost = recipe_cost(load_recipe("ffhq256"))
    assert (cost.generator.parameters, cost.discriminator.parameters) == (48_929_512, 26_211_585)
    assert cost.generator.multiply_adds == pytest.approx(95.6e9, abs=0.05e9)
    assert cost.discriminator.multiply_adds == pytest.approx(21.1e9, rel=0.01)


@pytest.mark.parametrize(
    ("name", "overrides", "generator", "discriminator"),
    [("ffhq256", ["model.size=64"], 36.5e9, 4.0e9), ("ffhq1024", [], 52.5e9, 50.8e9)],
)
def test_multiply_adds_are_the_releases_at_other_sizes(
    name: str, overrides: list[str], generator: float, discriminator: float
) -> None:
    cost = recipe_cost(load_recipe(name, overrides))
    assert cost.generator.multiply_adds == pytest.approx(generator, abs=0.05e9)
    assert cost.discriminator.multiply_adds == pytest.approx(discriminator, rel=0.01)


def test_conditional_networks_are_counted(tiny_recipe: MakeRecipe) -> None:
    plain, conditional = recipe_cost(tiny_recipe()), recipe_cost(tiny_recipe("model.classes=3"))
    assert conditional.generator.multiply_adds > plain.generator.multiply_adds


def test_files_are_those_that_a_run_leaves(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        "run.keep=1", "train.total=20", "ema.power=[0.05, 0.1]", "ema.power_every=8", "model.latent_dim=256"
    )
    files = recipe_cost(recipe).files
    train(recipe, store, tmp_path, torch.device("cpu"), Console(quiet=True), resume=False)
    states = list(tmp_path.glob("state-*.pt"))
    models = list(tmp_path.glob("model-*.safetensors"))
    averages = list(tmp_path.glob("averages/*.safetensors"))
    assert (len(states), len(models), len(averages)) == (files.states, files.models, files.averages)
    room = 400_000  # names, recipes, indices: content other than weights
    assert files.state > 10 * room
    assert files.total < files.most
    assert files.state <= states[0].stat().st_size < files.state + room
    assert files.model <= models[0].stat().st_size < files.model + room
    for average in averages:
        assert files.average <= average.stat().st_size < files.average + room


def test_files_are_counted_as_the_loop_saves(tiny_recipe: MakeRecipe) -> None:
    model = tiny_recipe().model
    with meta_init():
        networks = Generator(model), make_discriminator(model)
    for total, every in ((48, 0), (48, 12), (50, 12), (40, 8), (36, 24)):
        seen, batch, saves = 0, 2, 1
        while seen < total:
            seen += batch
            due = crossed(seen, batch, 8) or (every > 0 and crossed(seen, batch, every))
            saves += due or seen >= total
        recipe = tiny_recipe(f"train.total={total}", f"evaluate.every={every}", "train.batch=2")
        files = run_files(recipe, *networks)
        assert (files.models, files.states) == (saves, 2 + bool(every)), (total, every)
