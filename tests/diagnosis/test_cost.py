"""Multiply-adds against the published figures, and the files of a run against those that it leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.diagnosis.cost import cost_of
from swincli.recipe import Recipe, load_recipe
from swincli.training.loop import train
from swincli.training.step.schedules import crossed

AT_64 = ["model.size=64"]


@pytest.mark.parametrize(
    ("name", "overrides", "generator", "discriminator"),
    [
        ("ffhq256", [], 95.6e9, 21.1e9),
        ("ffhq256", AT_64, 36.5e9, 4.0e9),
        ("ffhq1024", [], 52.5e9, 50.8e9),
    ],
)
def test_multiply_adds_are_the_releases(
    name: str, overrides: list[str], generator: float, discriminator: float
) -> None:
    """Within the last digit of the figures, and for D within 1 %: the release filters more (see `multiply_adds`)."""
    cost = cost_of(load_recipe(name, overrides))
    assert cost.generator.multiply_adds == pytest.approx(generator, abs=0.05e9)
    assert cost.discriminator.multiply_adds == pytest.approx(discriminator, rel=0.01)


def test_parameters_are_the_releases() -> None:
    cost = cost_of(load_recipe("ffhq256"))
    assert (cost.generator.parameters, cost.discriminator.parameters) == (48_929_512, 26_211_585)


def test_conditional_networks_are_counted() -> None:
    plain, conditional = cost_of(load_recipe("quickstart")), cost_of(load_recipe("quickstart", ["model.classes=3"]))
    assert conditional.generator.multiply_adds > plain.generator.multiply_adds


@pytest.mark.parametrize("overrides", [["run.keep=1", "train.total=20"], ["ema.power=[0.05, 0.1]"]])
def test_files_are_those_that_a_run_leaves(
    overrides: list[str], tiny_recipe: Callable[..., Recipe], store: Store, tmp_path: Path
) -> None:
    recipe = tiny_recipe("ema.power_every=8", "model.latent_dim=256", *overrides)
    files = cost_of(recipe).files
    train(recipe, store, tmp_path, torch.device("cpu"), Console(quiet=True), resume=False)
    states = list(tmp_path.glob("state-*.pt"))
    models = list(tmp_path.glob("model-*.safetensors"))
    averages = list(tmp_path.glob("averages/*.safetensors"))
    assert (len(states), len(models), len(averages)) == (files.states, files.models, files.averages)
    room = 400_000  # names, recipes, indices: what files hold besides weights
    assert files.state > 10 * room
    assert files.total < files.most
    assert files.state <= states[0].stat().st_size < files.state + room
    assert files.model <= models[0].stat().st_size < files.model + room
    for average in averages:
        assert files.average <= average.stat().st_size < files.average + room


@pytest.mark.parametrize(("total", "every"), [(48, 0), (48, 12), (50, 12), (40, 8), (36, 24)])
def test_models_are_counted_as_the_loop_saves(total: int, every: int, tiny_recipe: Callable[..., Recipe]) -> None:
    seen, batch, saves = 0, 2, 1
    while seen < total:
        seen += batch
        due = crossed(seen, batch, 8) or (every > 0 and crossed(seen, batch, every))
        saves += due or seen >= total
    recipe = tiny_recipe(f"train.total={total}", f"evaluate.every={every}", "train.batch=2")
    assert cost_of(recipe).files.models == saves
