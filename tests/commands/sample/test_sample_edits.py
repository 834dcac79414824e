"""Options of `swincli sample`: reading and saving codes, truncation, mixing and sweeps."""

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

from swincli.model.files.classes import Classes
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.synthesis.output.provenance import read_note

Capture = pytest.CaptureFixture[str]
MakeRecipe = Callable[..., Recipe]


@pytest.mark.parametrize("space", ["z", "w", "w_plus"])
def test_saved_codes_give_the_same_images(model: Path, tmp_path: Path, space: str) -> None:
    codes = tmp_path / "codes.npz"
    arguments = ["--seeds", "3-5", "--truncation", "0.7"]
    assert sample(model, tmp_path / "a", *arguments, "--save-latents", str(codes), "--save-space", space) == 0
    with np.load(codes) as arrays:
        assert arrays[space].shape == {"z": (3, 16), "w": (3, 16), "w_plus": (3, 6, 16)}[space]
        assert str(arrays["model"]) == model_identity(model)
    again = ["--truncation", "0.7"] if space == "z" else []
    assert sample(model, tmp_path / "b", "--latents", str(codes), *again) == 0
    for index, seed in enumerate((3, 4, 5)):
        drawn = pixels(tmp_path / f"b/latent-{index:04d}.png")
        assert np.abs(drawn - pixels(tmp_path / f"a/seed-{seed:06d}.png")).max() <= 1


def test_codes_that_cannot_be_saved_are_refused_before_anything_is_drawn(
    model: Path, tmp_path: Path, capsys: Capture
) -> None:
    save = ["--save-latents", str(tmp_path / "codes.npz"), "--save-space"]
    assert sample(model, tmp_path / "out", "--mix", "1:2@coarse", *save, "w") == 2
    assert "--save-space w: the codes of an image differ from layer to layer" in capsys.readouterr().err
    assert sample(model, tmp_path / "out", "--mix", "1:2@coarse", *save, "z") == 2
    assert not (tmp_path / "out").exists()
    (tmp_path / "codes.npz").write_bytes(b"something else")
    assert sample(model, tmp_path / "out", "--seeds", "0", *save, "z") == 1
    assert "codes.npz: exists, and was made with other settings" in capsys.readouterr().err
    assert (tmp_path / "codes.npz").read_bytes() == b"something else"


def test_codes_of_another_model_are_refused(
    model: Path, shown_recipe: MakeRecipe, tmp_path: Path, capsys: Capture
) -> None:
    other = save_shown_model(shown_recipe(), tmp_path / "other.safetensors", seed=1)
    for space, code in (("w", 1), ("w_plus", 1), ("z", 0)):  # z fits every model
        codes = ["--save-latents", str(tmp_path / f"{space}.npz"), "--save-space", space]
        assert sample(other, tmp_path / "other", "--seeds", "0", *codes) == 0
        capsys.readouterr()
        assert sample(model, tmp_path / space, "--latents", str(tmp_path / f"{space}.npz")) == code
        if code:
            error = capsys.readouterr().err
            assert f"{space}.npz: holds {space} of another model ({model_identity(other)}; {model} is" in error


def test_files_of_the_same_name_with_other_codes_are_told_apart(model: Path, tmp_path: Path) -> None:
    for seed, code in ((0, 0), (1, 1)):
        np.savez(tmp_path / "codes.npz", z=np.random.default_rng(seed).standard_normal((1, 16)))
        assert sample(model, tmp_path / "out", "--latents", str(tmp_path / "codes.npz")) == code


def test_truncation_of_some_codes_and_towards_several_centres(model: Path, tmp_path: Path) -> None:
    strong = ["--seeds", "0-7", "--truncation", "0"]
    for name, arguments in (
        ("all", []),
        ("coarse", ["--truncation-layers", "2"]),
        ("k", ["--truncation-centres", "3"]),
    ):
        assert sample(model, tmp_path / name, *strong, *arguments) == 0
    kinds = {
        name: len({pixels(tmp_path / name / f"seed-{seed:06d}.png").tobytes() for seed in range(8)})
        for name in ("all", "coarse", "k")
    }
    assert kinds["all"] == 1
    assert kinds["coarse"] == 8
    assert 1 < kinds["k"] <= 3
    assert "truncation=0.0 truncation-centres=3" in (read_note(tmp_path / "k/seed-000000.png") or "")


def test_a_model_without_a_mean_is_an_error(model: Path, tmp_path: Path, capsys: Capture) -> None:
    with safetensors.safe_open(model, framework="pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(model)
    del tensors["w_mean"]
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors", metadata)
    assert sample(tmp_path / "model.safetensors", tmp_path / "out", "--seeds", "0", "--truncation", "0.5") == 1
    assert f"error: {tmp_path / 'model.safetensors'}: has no mean w" in capsys.readouterr().err


def test_mixing(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert sample(model, tmp_path, "--mix", "1,5:5,9@coarse,5", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    stems = ["seed-000001", "seed-000005", "seed-000009"]
    stems += [f"seed-{row:06d}-mix-{column:06d}" for row in (1, 5) for column in (5, 9)]
    assert said["images"] == [str(tmp_path / f"{stem}.png") for stem in stems]
    assert said["grid"] == str(tmp_path / "mix.png")
    generator = load_model(model, torch.device("cpu")).generator
    assert generator.num_ws == 6
    image = {stem: pixels(tmp_path / f"{stem}.png") for stem in stems}
    assert np.abs(image["seed-000005-mix-000005"] - image["seed-000005"]).max() <= 1
    assert np.abs(image["seed-000001-mix-000009"] - image["seed-000001"]).max() > 2
    assert np.abs(image["seed-000001-mix-000009"] - image["seed-000009"]).max() > 2
    assert "mix=1:9@0-3,5 truncation=1.0" in (read_note(tmp_path / "seed-000001-mix-000009.png") or "")


def test_mixing_everything_gives_the_column(model: Path, tmp_path: Path) -> None:
    assert sample(model, tmp_path, "--mix", "1:9@all", "--truncation", "0.7") == 0
    mixed = pixels(tmp_path / "seed-000001-mix-000009.png")
    assert np.abs(mixed - pixels(tmp_path / "seed-000009.png")).max() <= 1
    with Image.open(tmp_path / "mix.png") as page:
        assert page.width > 2 * 128
        assert page.height > 2 * 128
    sources = [tmp_path / f"seed-{seed:06d}.png" for seed in (1, 9)]
    times = [path.stat().st_mtime_ns for path in sources]
    assert sample(model, tmp_path, "--seeds", "1,9", "--truncation", "0.7") == 0  # already written by --mix
    assert [path.stat().st_mtime_ns for path in sources] == times


def test_mixing_within_classes(shown_recipe: MakeRecipe, tmp_path: Path, capsys: Capture) -> None:
    recipe = shown_recipe("model.classes=2")
    model = save_shown_model(recipe, tmp_path / "model.safetensors", Classes(("cat", "dog"), (1, 1)))
    assert sample(model, tmp_path / "cats", "--mix", "1:2@coarse", "--class", "cat", "--json") == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["cat"] * 3
    assert sample(model, tmp_path / "both", "--mix", "1:2", "--class", "cat,dog") == 2
    assert "cat,dog: --mix takes one class" in capsys.readouterr().err
    assert sample(model, tmp_path / "drawn", "--mix", "1:2@coarse") == 0
    assert "column-class=" in (read_note(tmp_path / "drawn/seed-000001-mix-000002.png") or "")


@pytest.mark.parametrize("method", ["pca", "sefa"])
def test_sweeps_of_seeds_and_of_codes(model: Path, tmp_path: Path, capsys: Capture, method: str) -> None:
    sweep = ["--sweep", f"{method}:0,2@coarse", "--sweep-steps", "3", "--sweep-range", "2"]
    codes = tmp_path / "codes.npz"
    assert sample(model, tmp_path / "a", "--seeds", "4", *sweep, "--save-latents", str(codes), "--json") == 0
    said, name = json.loads(capsys.readouterr().out), f"sweep-{method}-0,2-coarse.png"
    assert said["sweeps"] == [str(tmp_path / f"a/seed-000004-{name}")]
    note = read_note(tmp_path / f"a/seed-000004-{name}") or ""
    assert note.endswith(f"sweep={method}:0,2@0-3 steps=3 range=2")
    assert sample(model, tmp_path / "b", "--latents", str(codes), *sweep) == 0
    pages = [pixels(tmp_path / path) for path in (f"a/seed-000004-{name}", f"b/latent-0000-{name}")]
    width = min(page.shape[1] for page in pages)
    assert width > 3 * 128
    assert np.abs(pages[0][60:, :width] - pages[1][60:, :width]).max() <= 2  # only the titles differ
    times = [path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()]
    assert sample(model, tmp_path / "a", "--seeds", "4", *sweep) == 0
    assert [path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()] == times
    assert sample(model, tmp_path / "a", "--seeds", "4", *sweep[:2]) == 1


def test_a_model_without_style_is_swept_at_its_first_code_only(
    tiny_recipe: MakeRecipe, tmp_path: Path, capsys: Capture
) -> None:
    model = save_shown_model(tiny_recipe("model.style=none"), tmp_path / "model.safetensors")
    assert sample(model, tmp_path / "a", "--seeds", "0", "--sweep", "sefa:0", "--sweep-steps", "2") == 0
    assert sample(model, tmp_path / "b", "--seeds", "0", "--sweep", "sefa:0@middle") == 2
    assert "--sweep sefa: no layer of the network reads w there" in capsys.readouterr().err
