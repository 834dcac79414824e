"""The command lines of `swincli sample` and `swincli evaluate` with a conditional model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from sampled_models import pixels, sample, save_shown_model
from scripted_networks import MeanColours, save_script

from swincli.commands.app import run
from swincli.data.store.reader import Store
from swincli.errors import CheckpointError
from swincli.model.files.classes import Classes
from swincli.model.files.model_file import load_model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.synthesis.latents.classes import draw_labels

Capture = pytest.CaptureFixture[str]
CLASSES = Classes(("cat", "dog", "7"), (1, 2, 1))


@pytest.fixture(scope="module")
def recipe(shown_recipe: Callable[..., Recipe]) -> Recipe:
    return shown_recipe("model.classes=3")


@pytest.fixture(scope="module")
def model(recipe: Recipe, folder: Path) -> Path:
    return save_shown_model(recipe, folder / "run" / "model-000000000010.safetensors", CLASSES)


def test_the_same_seed_is_another_image_in_another_class(model: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog", "7"):
        assert sample(model, tmp_path / name, "--seeds", "0-3", "--class", name) == 0
    for seed in range(4):
        cat, dog, seven = (pixels(tmp_path / name / f"seed-{seed:06d}.png") for name in ("cat", "dog", "7"))
        assert min(np.abs(cat - dog).max(), np.abs(cat - seven).max(), np.abs(dog - seven).max()) > 2
    assert sample(model, tmp_path / "number", "--seeds", "2", "--class", "1") == 0
    assert np.abs(pixels(tmp_path / "number/seed-000002.png") - pixels(tmp_path / "dog/seed-000002.png")).max() <= 1


def test_several_classes_are_rows_of_the_grid(model: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert sample(model, out, "--seeds", "4,9", "--class", "dog,cat", "--grid", "2x2", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    stems = ["seed-000004-class-001", "seed-000009-class-001", "seed-000004-class-000", "seed-000009-class-000"]
    assert said["images"] == [str(out / f"{stem}.png") for stem in stems]
    assert said["classes"] == ["dog", "dog", "cat", "cat"]
    rows = [np.concatenate([pixels(out / f"{stem}.png") for stem in pair], 1) for pair in (stems[:2], stems[2:])]
    assert np.array_equal(pixels(out / "grid.png"), np.concatenate(rows))


def test_without_a_class_each_seed_draws_its_own(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert sample(model, tmp_path / "all", "--seeds", "0-11", "--json", "--batch", "5") == 0
    names = json.loads(capsys.readouterr().out)["classes"]
    assert names == [CLASSES.names[label] for label in draw_labels(range(12), CLASSES.even)]
    assert set(names) == {"cat", "dog", "7"}
    path = tmp_path / "all/seed-000005.png"
    assert sample(model, tmp_path / "one", "--seeds", "5", "--class", names[5]) == 0
    assert np.abs(pixels(path) - pixels(tmp_path / "one/seed-000005.png")).max() <= 1
    with Image.open(path) as image:
        assert image.text["swincli"].endswith(f"class={names[5]}")  # type: ignore[attr-defined]


def test_truncation_goes_towards_the_mean_of_the_class(model: Path, tmp_path: Path) -> None:
    assert sample(model, tmp_path / "out", "--seeds", "0,1", "--class", "cat,dog", "--truncation", "0") == 0
    cats, dogs = (
        [pixels(tmp_path / f"out/seed-{seed:06d}-class-{label:03d}.png") for seed in (0, 1)] for label in (0, 1)
    )
    assert np.abs(cats[0] - cats[1]).max() <= 1
    assert np.abs(dogs[0] - dogs[1]).max() <= 1
    assert np.abs(cats[0] - dogs[0]).max() > 2


def test_attention_of_a_class(model: Path, tmp_path: Path) -> None:
    assert sample(model, tmp_path, "--seeds", "1", "--class", "cat,dog", "--attention") == 0
    pages = [pixels(tmp_path / f"seed-000001-class-{label:03d}-attention.png") for label in (0, 1)]
    assert pages[0].shape == pages[1].shape
    assert not np.array_equal(pages[0], pages[1])


def test_classes_that_are_not_there(
    model: Path, tiny_recipe: Callable[..., Recipe], tmp_path: Path, capsys: Capture
) -> None:
    assert sample(model, tmp_path / "out", "--seeds", "0", "--class", "cow") == 2
    error = capsys.readouterr().err
    assert "--class cow: the model has no such class" in error
    assert "cat, dog, 7" in error
    plain = tmp_path / "plain.safetensors"
    save_model(plain, Generator(tiny_recipe().model), tiny_recipe(), 0)
    assert sample(plain, tmp_path / "out", "--seeds", "0", "--class", "cat") == 2
    assert "is an unconditional model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_evaluation_draws_classes_as_in_training(
    model: Path, store: Store, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    script = save_script(MeanColours(), tmp_path / "colours.pt")
    arguments = ["--checkpoint", str(model), "--data", str(store.path), "--num", "8", "--detector-weights", str(script)]
    assert run(["evaluate", *arguments, "--device", "cpu", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["protocol"]["fakes"]["classes"] == "drawn as in the training images"
    assert said["metrics"]["fid"] > 0


@pytest.mark.parametrize("classes", [None, Classes(("cat", "dog"), (1, 1))])
def test_a_model_without_its_classes_is_damaged(recipe: Recipe, tmp_path: Path, classes: Classes | None) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, Generator(recipe.model), recipe, 0, classes)
    with pytest.raises(CheckpointError, match=r"its classes|lacks the 3 classes"):
        load_model(path, torch.device("cpu"))


def test_a_conditional_model_is_written_alike_every_time(model: Path, recipe: Recipe, tmp_path: Path) -> None:
    loaded = load_model(model, torch.device("cpu"))
    save_model(tmp_path / "again.safetensors", loaded.generator, recipe, 10, loaded.classes)
    assert (tmp_path / "again.safetensors").read_bytes() == model.read_bytes()
    assert set(safetensors.torch.load_file(model)) >= {"w_mean", "w_mean_by_class", "g.embedding.linear.weight"}
