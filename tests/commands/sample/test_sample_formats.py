"""The files of `swincli sample`: all formats, their notes, and resuming."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sampled_models import pixels, sample, save_shown_model
from scripted_networks import MeanColours, save_script

from swincli.commands.app import run
from swincli.data.store.reader import Store
from swincli.model.files.classes import Classes
from swincli.recipe import Recipe
from swincli.synthesis.output.provenance import read_note
from swincli.system.leftovers import hidden_beside

Capture = pytest.CaptureFixture[str]
MakeRecipe = Callable[..., Recipe]
PACKED = {"npz": "images.npz", "zip": "images.zip", "store": "store"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def pngs(model: Path, folder: Path) -> list[np.ndarray]:
    """The pixels of seeds 0 to 4, from PNGs."""
    if not (folder / "png").exists():
        assert sample(model, folder / "png", "--count", "5") == 0
    return [pixels(folder / f"png/seed-{seed:06d}.png") for seed in range(5)]


def test_seeds_are_counted_from_the_first_one_on(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert sample(model, tmp_path / "a", "--count", "2", "--json") == 0
    assert sample(model, tmp_path / "b", "--count", "2", "--seeds", "7", "--json") == 0
    names = [[Path(path).name for path in json.loads(line)["images"]] for line in capsys.readouterr().out.splitlines()]
    assert names == [["seed-000000.png", "seed-000001.png"], ["seed-000007.png", "seed-000008.png"]]


@pytest.mark.parametrize(("suffix", "tolerance"), [("jpg", 12), ("webp", 0)])
def test_other_files_of_one_image(model: Path, pngs: list[np.ndarray], out: Path, suffix: str, tolerance: int) -> None:
    assert sample(model, out, "--count", "5", "--format", suffix, "--grid", "5x1") == 0
    for seed, png in enumerate(pngs):
        path = out / f"seed-{seed:06d}.{suffix}"
        assert np.abs(pixels(path) - png).mean() <= tolerance
        assert f" seed={seed} truncation=1.0" in (read_note(path) or "")
    assert pixels(out / "grid.png").shape == (16, 80, 3)


@pytest.mark.parametrize("kind", list(PACKED))
def test_all_images_in_one_made_once(
    model: Path, pngs: list[np.ndarray], out: Path, capsys: Capture, kind: str
) -> None:
    arguments = ["--count", "5", "--format", kind, "--grid", "3x1"]
    assert sample(model, out, *arguments, "--json") == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["images"] == [str(out / PACKED[kind])]
    assert said["count"] == 5
    assert sorted(path.name for path in out.iterdir()) == sorted(["grid.png", PACKED[kind]])
    found = read_packed(out / PACKED[kind])
    assert all(np.array_equal(one, other) for one, other in zip(found, pngs, strict=True))
    assert np.array_equal(pixels(out / "grid.png"), np.concatenate(pngs[:3], axis=1))
    assert sample(model, out, *arguments) == 0
    assert f"{out / PACKED[kind]} already exists" in capsys.readouterr().err


def read_packed(path: Path) -> list[np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            assert arrays["arr_0"].dtype == np.uint8
            assert arrays["names"].tolist() == [f"seed-{seed:06d}" for seed in range(5)]
            return list(arrays["arr_0"].astype(int))
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == [f"seed-{seed:06d}.png" for seed in range(5)]
            images = []
            for name in archive.namelist():
                with archive.open(name) as file, Image.open(file) as image:
                    images.append(np.asarray(image).astype(int))
            return images
    return list(Store.open(path).fetch(np.arange(5)).astype(int))


def test_a_store_of_other_settings_is_refused_and_replaced_if_forced(model: Path, out: Path, capsys: Capture) -> None:
    arguments = ["--count", "5", "--format", "store"]
    assert sample(model, out, *arguments) == 0
    before = read_packed(out / "store")
    assert sample(model, out, *arguments, "--truncation", "0.5") == 1
    assert f"error: {out / 'store'}: exists, and was made with other settings" in capsys.readouterr().err
    assert sample(model, out, *arguments, "--truncation", "0.5", "--force") == 0
    after = read_packed(out / "store")
    assert max(np.abs(one - other).max() for one, other in zip(after, before, strict=True)) > 2


def test_a_grid_can_be_had_later(model: Path, pngs: list[np.ndarray], out: Path) -> None:
    assert sample(model, out, "--count", "5", "--format", "zip") == 0
    assert sample(model, out, "--count", "5", "--format", "zip", "--grid", "2x1") == 0
    assert np.abs(pixels(out / "grid.png") - np.concatenate(pngs[:2], axis=1)).max() <= 1
    assert sorted(path.name for path in out.iterdir()) == ["grid.png", "images.zip"]


def test_images_that_are_there_are_left_alone(model: Path, out: Path, capsys: Capture) -> None:
    assert sample(model, out, "--seeds", "1,3") == 0
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    assert sample(model, out, "--seeds", "0-4") == 0
    assert "2 of 5 images already exist" in capsys.readouterr().err
    assert {name: (out / name).stat().st_mtime_ns for name in times} == times
    assert len(list(out.iterdir())) == 5


def test_images_of_other_settings_or_models_are_not_overwritten(
    model: Path, shown_recipe: MakeRecipe, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert sample(model, out, "--seeds", "1") == 0
    other = save_shown_model(shown_recipe(), tmp_path / "model.safetensors", seed=1)
    content = (out / "seed-000001.png").read_bytes()
    for path, arguments in ((model, ["--truncation", "0.5"]), (other, [])):
        assert sample(path, out, "--seeds", "0-1", *arguments) == 1
        assert f"error: {out / 'seed-000001.png'}: exists, and was made with other" in capsys.readouterr().err
        assert [file.name for file in out.iterdir()] == ["seed-000001.png"]
    assert (out / "seed-000001.png").read_bytes() == content
    assert sample(other, out, "--seeds", "1", "--force") == 0
    assert (out / "seed-000001.png").read_bytes() != content
    (out / "seed-000001.png").write_bytes(b"no picture")
    assert sample(other, out, "--seeds", "1") == 1


def test_a_run_that_was_stopped_goes_on(model: Path, out: Path, capsys: Capture) -> None:
    """A folder in the place of a temporary file stops the first call after three images."""
    parts = out / ".images.zip.parts"
    hindrance = hidden_beside(parts / "seed-000003.png", "partial")
    hindrance.mkdir(parents=True)
    arguments = ["--count", "5", "--format", "zip", "--batch", "1"]
    assert sample(model, out, *arguments) == 1
    assert [path.name for path in sorted(parts.glob("seed-*"))] == [f"seed-{seed:06d}.png" for seed in range(3)]
    assert [path.name for path in out.iterdir()] == [".images.zip.parts"]
    hindrance.rmdir()
    capsys.readouterr()
    assert sample(model, out, *arguments) == 0
    assert "3 of 5 images already exist" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["images.zip"]


def test_parts_of_other_settings_are_drawn_again(model: Path, pngs: list[np.ndarray], tmp_path: Path) -> None:
    parts = tmp_path / ".images.npz.parts"
    assert sample(model, parts, "--count", "5", "--truncation", "0") == 0
    assert sample(model, tmp_path, "--count", "5", "--format", "npz") == 0
    found = read_packed(tmp_path / "images.npz")
    assert all(np.array_equal(one, other) for one, other in zip(found, pngs, strict=True))


def test_zip_and_store_are_measured_and_trained_on(
    model: Path, store: Store, tiny_recipe_file: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    script = save_script(MeanColours(), tmp_path / "colours.pt")
    fids = []
    for kind in ("zip", "store"):
        assert sample(model, tmp_path, "--count", "12", "--format", kind) == 0
        capsys.readouterr()
        arguments = ["--images", str(tmp_path / PACKED[kind]), "--data", str(store.path), "--num", "12"]
        assert run(["evaluate", *arguments, "--detector-weights", str(script), "--device", "cpu", "--json"]) == 0
        fids.append(json.loads(capsys.readouterr().out)["metrics"]["fid"])
    assert fids[0] == pytest.approx(fids[1])
    assert run(["train", str(tiny_recipe_file), "--data", str(tmp_path / "store"), "--dry-run", "--device", "cpu"]) == 0
    arguments = ["prepare-data", str(tmp_path / "images.zip"), str(tmp_path / "again"), "--resolution", "16"]
    assert run(arguments) == 0
    assert Store.open(tmp_path / "again").content_hash == Store.open(tmp_path / "store").content_hash


def test_classes_come_along(shown_recipe: MakeRecipe, tmp_path: Path) -> None:
    classes = Classes(("cat", "dög", "7"), (1, 2, 1))
    recipe = shown_recipe("model.classes=3")
    model = save_shown_model(recipe, tmp_path / "model.safetensors", classes)
    out = tmp_path / "out"
    for kind in PACKED:
        assert sample(model, out, "--seeds", "0,1", "--class", "dög,cat", "--format", kind) == 0
    with np.load(out / "images.npz") as arrays:
        assert arrays["arr_1"].tolist() == [1, 1, 0, 0]
    with zipfile.ZipFile(out / "images.zip") as archive:
        labels = json.loads(archive.read("dataset.json"))["labels"]
    assert labels[0] == ["seed-000000-class-001.png", 1]
    store = Store.open(out / "store")
    assert store.labels is not None
    assert store.labels.tolist() == [1, 1, 0, 0]
    assert store.manifest.label_names == list(classes.names)
    assert (
        sample(model, out, "--seeds", "0", "--class", "dög", "--format", "jpg", "--grid", "1x1", "--grid-labels") == 0
    )
    assert (read_note(out / "seed-000000.jpg") or "").endswith("class=dög")


def test_labels_of_the_grid(model: Path, pngs: list[np.ndarray], tmp_path: Path) -> None:
    assert sample(model, tmp_path, "--count", "5", "--grid", "3x2", "--grid-labels") == 0
    page = pixels(tmp_path / "grid.png")
    enlarged = pngs[1].repeat(8, axis=0).repeat(8, axis=1)
    corners = [(top, left) for top in range(40) for left in range(100, 200)]
    assert any(np.array_equal(page[top : top + 128, left : left + 128], enlarged) for top, left in corners)
    assert sample(model, tmp_path, "--count", "5", "--grid", "3x2") == 1


def test_codes_are_not_written_over_images(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    given = ["--seeds", "0-1", "--format", "npz", "--save-latents", str(out / "images.npz")]
    assert sample(model, out, *given) == 2
    assert "two results would be written to it" in " ".join(capsys.readouterr().err.split())
    assert not (out / "images.npz").exists()
    assert (
        sample(model, out, "--seeds", "1,1", "--save-latents", str(out / "codes.npz")) == 0
    )  # a seed twice is no fault


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_models_in_folders_that_safetensors_cannot_open(
    model: Path, tiny_recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / os.fsdecode(b"run\xff")
    folder.mkdir()
    shutil.copy(model, folder / "model-000000000004.safetensors")
    new = folder.with_name(os.fsdecode(b"new\xff"))
    commands = [
        ["sample", "--checkpoint", str(folder), "--seeds", "0"],
        ["sample", "--checkpoint", str(folder / "model-000000000004.safetensors"), "--seeds", "0"],
        ["train", str(tiny_recipe_file), "--out", str(new)],
        ["convert", str(model), str(new) + ".safetensors", "--ema-width", "0.1"],
    ]
    for command in commands:
        assert run([*command, *([] if command[0] == "convert" else ["--device", "cpu"])]) == 2, command
        assert "bytes that are not UTF-8" in " ".join(capsys.readouterr().err.split())
    assert not new.exists()
