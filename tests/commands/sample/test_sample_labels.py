"""`swincli sample --label`: values of attributes, rows of a grid, sweeps of labels, and truncation to their mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from attribute_stores import ATTRIBUTES
from PIL import Image, ImageChops

import swincli
from swincli.commands.app import run
from swincli.data.store.reader import Store
from swincli.model.files.model_file import load_model, mean_w_of_labels, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sample_set import describe_seeds
from swincli.training.step.labels import training_attributes


@pytest.fixture(scope="module")
def checkpoint(
    attribute_store: Store, tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An untrained model with the attributes of the store."""
    recipe = tiny_recipe(ATTRIBUTES, "model.adain_gamma=1")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "labels.safetensors"
    kept = training_attributes(recipe.model, attribute_store)
    save_model(path, Generator(recipe.model).eval().requires_grad_(False), recipe, 0, attributes=kept)
    return path


def sample(checkpoint: Path, out: Path, *options: str) -> int:
    return run(["sample", "--checkpoint", str(checkpoint), "--out", str(out), "-q", "--device", "cpu", *options])


def test_labels_decide_the_image_and_are_told(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--seeds", "0,1", "--json", "--label", "colour=red,size=20", "--label", "tags=left,dark=no")
    assert sample(checkpoint, tmp_path, *options) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["labels"] == ["colour=red,dark=no,size=20,tags=left"] * 2
    model = swincli.load_model(checkpoint, device="cpu")
    labels = {"colour": "red", "size": 20, "tags": ["left"], "dark": False}
    images = model.sample(seeds=[0, 1], labels=labels)
    with Image.open(facts["images"][1]) as picture:
        assert np.array_equal(np.asarray(picture), images[1])
        assert "colour=red" in str(picture.info)
    assert not np.array_equal(images, model.sample(seeds=[0, 1], labels={**labels, "colour": "blue"}))
    assert model.attributes is not None
    assert model.attributes[0]["values"] == ["red", "green", "blue"]


def test_all_values_in_turn_are_the_rows_of_a_grid(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ("--grid", "2x3", "--grid-labels")
    assert sample(checkpoint, tmp_path, "--seeds", "4,5", "--label", "colour=all", "--json", *grid) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [Path(image).stem for image in facts["images"]][:3] == [
        "seed-000004-colour-000", "seed-000005-colour-000", "seed-000004-colour-001",
    ]  # fmt: skip
    others = [{part for part in text.split(",") if "colour" not in part} for text in facts["labels"]]
    assert others[0] == others[2] == others[4]
    assert [text.split(",")[0] for text in facts["labels"][::2]] == ["colour=red", "colour=green", "colour=blue"]


def test_captions_begin_with_what_differs(checkpoint: Path) -> None:
    model = load_model(checkpoint, torch.device("cpu"))
    assert describe_seeds(model, [4, 5], ["colour=all", "dark=no"]).captions[2:4] == ["green, seed 4", "green, seed 5"]
    assert describe_seeds(model, [4], ["dark=all"]).captions == ["dark no, seed 4", "dark yes, seed 4"]
    assert describe_seeds(model, [4], ["colour=blue|red"]).captions == ["blue, seed 4", "red, seed 4"]


def test_a_sweep_of_labels_has_a_row_for_each(checkpoint: Path, tmp_path: Path) -> None:
    assert sample(checkpoint, tmp_path, "--seeds", "0", "--sweep", "label:size,colour", "--sweep-steps", "4") == 0
    with Image.open(tmp_path / "seed-000000-sweep-label-size,colour.png") as picture:
        assert picture.width > 4 * 128
        assert picture.height > 2 * 128
    shown = ("--sweep", "label:colour", "--preview")
    for side in ("8", "16"):
        assert sample(checkpoint, tmp_path / side, "--seeds", "0", *shown, side) == 0
    small, whole = (tmp_path / side / "seed-000000-sweep-label-colour.png" for side in ("8", "16"))
    with Image.open(small) as one, Image.open(whole) as other:
        assert one.size == other.size
        assert ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox()


def test_truncation_goes_to_the_mean_of_the_labels(checkpoint: Path) -> None:
    model = load_model(checkpoint, torch.device("cpu"))
    labels = torch.tensor([[0.0, 1, 0.5, 1, 0], [0.0, 1, 0.5, 1, 0], [2.0, 0, torch.nan, 0, 0]])
    centres = mean_w_of_labels(model.generator, labels)
    assert torch.equal(centres[0], centres[1])
    whole = codes_of_seeds(model, [0, 1, 2], Truncation(0.0), labels)
    torch.testing.assert_close(whole[:, 0], centres)
    single = codes_of_seeds(model, [2], Truncation(0.5), labels[2:])
    half = codes_of_seeds(model, [0, 1, 2], Truncation(0.5), labels)
    torch.testing.assert_close(single[0], half[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--label", "hair=red"], "--label hair=red: the model has no such attribute"),
        (["--class", "red"], "--class red:"),
        (["--class", "red", "--label", "colour=red"], "--class, --label: a model has classes or attributes"),
        (["--sweep", "label:hair"], "--sweep label:hair:"),
    ],
)
def test_what_does_not_fit_is_one_error(
    options: list[str], problem: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample(checkpoint, tmp_path, "--seeds", "0", *options) in (1, 2)
    assert problem in capsys.readouterr().err


def test_a_model_without_attributes_refuses_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(Path("builtin:cats32"), tmp_path, "--seeds", "0", "--label", "hair=red") in (1, 2)
    assert "has no attributes" in capsys.readouterr().err


@pytest.mark.parametrize("colours", ["all", "green|red"])
def test_key_frames_go_from_label_to_label(colours: str, checkpoint: Path, tmp_path: Path) -> None:
    options = ["--seeds", "0", "--label", f"colour={colours}", "--frames", "2", "--out", str(tmp_path / "w.gif"), "-q"]
    assert run(["interpolate", "--checkpoint", str(checkpoint), "--device", "cpu", *options]) == 0
    assert (tmp_path / "w.gif").stat().st_size
