"""Everything that runs on a device without float64 (MPS): training, models, truncation, directions, metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from loss_switches import COMBINED, Steps, keys_of
from release_skeleton import released_checkpoint
from scripted_networks import MeanColours, save_script
from torch import Tensor
from without_float64 import WithoutFloat64

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.metrics.definitions.memorization import nearest_reals
from swincli.metrics.definitions.ppl import path_lengths
from swincli.metrics.definitions.prdc import compute_prdc
from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.generator import Generator
from swincli.projection.inversion import InversionSettings, draw_start_points, invert
from swincli.projection.losses import Objective
from swincli.projection.targets import Target
from swincli.recipe import Recipe
from swincli.recipe.objective import GROUPS, AugmentSection
from swincli.recipe.schema import ModelSection
from swincli.synthesis.figures.sweeps import Sweep, sweep_page
from swincli.synthesis.latents import w_clusters
from swincli.synthesis.latents.directions import METHODS
from swincli.synthesis.latents.w_clusters import cluster_centres
from swincli.training import in_training_metrics
from swincli.training.augment.pipe import TRANSFORM_SETS, Augmentation
from swincli.training.loop import train
from swincli.training.losses import phases
from swincli.training.rng import derive
from swincli.training.step import batches

CPU, MPS = torch.device("cpu"), torch.device("mps")


@pytest.fixture
def device() -> Iterator[WithoutFloat64]:
    with WithoutFloat64() as mode:
        yield mode
    assert mode.seen  # tensors of the device were there


@pytest.fixture
def model(tiny_recipe: Callable[..., Recipe]) -> Model:
    recipe = tiny_recipe()
    generator = Generator(recipe.model).eval().requires_grad_(False)
    return Model(generator, recipe, 0, torch.zeros(recipe.model.latent_dim), Path("model"))


def test_the_imitation_refuses_float64_of_the_device_alone(device: WithoutFloat64) -> None:
    weight = torch.nn.Linear(2, 2).weight
    made = torch.ones(1, 2) @ weight
    assert made.cpu().double().dtype == torch.float64
    for ask in (lambda: made.double(), lambda: weight.to(torch.float64), lambda: made.mul(torch.ones(2).double())):
        with pytest.raises(TypeError, match="float64"):
            ask()
    assert device.seen


@pytest.mark.parametrize("transforms", sorted(TRANSFORM_SETS))
def test_transforms_of_what_d_sees(device: WithoutFloat64, transforms: str) -> None:
    section = AugmentSection.model_validate({"transforms": transforms, "groups": list(GROUPS[transforms]), "p": 0.9})
    augmentation = Augmentation(section, ModelSection(size=16))
    images = torch.nn.Parameter(torch.rand(4, 3, 16, 16, generator=derive(0, "images")))
    plan = augmentation.plan(augmentation.draw(4, derive(0, "a")), 0.9)
    changed = augmentation.apply(images, device.sent(plan, MPS))
    changed.square().sum().backward()
    assert device.seen
    assert images.grad is not None
    torch.testing.assert_close(changed.cpu(), augmentation.apply(images.detach().cpu(), plan), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("names", COMBINED)
def test_steps_with_every_switch(
    device: WithoutFloat64,
    tiny_recipe: Callable[..., Recipe],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
) -> None:
    for module in (batches, phases):
        monkeypatch.setattr(module, "send", device.sent)
    steps = Steps(tiny_recipe(*keys_of(names), "loss.r1_interval=1"), store)
    assert all(math.isfinite(value) for scalars in steps.run(2) for value in scalars.values())


@pytest.mark.usefixtures("device")
def test_a_sweep_is_drawn(model: Model) -> None:
    code = model.generator.broadcast(model.w_mean[None])[0]
    for method, find in METHODS.items():
        sweep = Sweep(method, [0], list(range(model.generator.num_ws)), 3, 1.0)
        assert sweep_page(model, code, find(model, sweep.layers), sweep, "seed 0").dtype == torch.uint8


@pytest.mark.usefixtures("device")
def test_pictures_are_projected(model: Model) -> None:
    objective = Objective(None, model.recipe.model.pixel_mean, model.recipe.model.pixel_std)
    target = Target("gray", "gray", torch.full((16, 16, 3), 128, dtype=torch.uint8))
    settings = InversionSettings(space="w+", steps=2, samples=4)
    codes = invert(model, objective, [target], draw_start_points(model, 4), settings, lambda *_: None)
    assert codes.dtype == torch.float32


@pytest.mark.usefixtures("device")
def test_a_model_is_saved_and_opened(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model-000000000004.safetensors"
    save_model(path, model.generator, model.recipe, 4)
    assert load_model(path, CPU).w_mean.dtype == torch.float32


def test_a_run_trains_saves_and_measures(
    tiny_recipe: Callable[..., Recipe],
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = save_script(MeanColours(), tmp_path / "colours.pt")
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    find = in_training_metrics.find_detector_weights
    monkeypatch.setattr(in_training_metrics, "find_detector_weights", lambda _, console: find(path, console))
    recipe = tiny_recipe("train.total=4", "evaluate.every=4", "evaluate.num=8", 'evaluate.metrics=["fid", "kid"]')
    with WithoutFloat64() as mode:
        train(recipe, store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    assert mode.seen
    assert "not measured" not in capsys.readouterr().err
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.usefixtures("device")
def test_an_original_checkpoint_opens(tmp_path: Path) -> None:
    torch.save(released_checkpoint([16, 16, 16], [8, 8, 8]), tmp_path / "released.pt")
    assert load_model(tmp_path / "released.pt", CPU).w_mean.dtype == torch.float32


@pytest.mark.usefixtures("device")
def test_centres_and_directions(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(w_clusters, "SAMPLES", 1000)
    assert cluster_centres(model, 2).dtype == torch.float32
    for directions in METHODS.values():
        assert directions(model, [0, 1]).vectors.dtype == torch.float32


@pytest.mark.usefixtures("device")
def test_path_lengths(model: Model) -> None:
    def distance(one: Tensor, other: Tensor) -> Tensor:
        return (one - other).square().mean(dim=(1, 2, 3))

    lengths = path_lengths(model, "w", 2, 0, distance, 2, lambda _=1: None)
    assert lengths.dtype == np.float64


@pytest.mark.parametrize("measure", [compute_prdc, nearest_reals])
def test_distances_of_mps_are_computed_on_the_cpu(measure: Callable[..., object]) -> None:
    random = np.random.default_rng(0)
    fakes, reals = random.normal(size=(2, 12, 4)).astype(np.float32)
    on_cpu, on_mps = (vars(measure(fakes, reals, device)) for device in (CPU, MPS))
    for name, values in on_cpu.items():
        np.testing.assert_array_equal(on_mps[name], values)
