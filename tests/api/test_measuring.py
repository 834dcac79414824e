"""`swincli.evaluate` and `swincli.project` return what the commands print with `--json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scripted_networks import MeanColours, save_script

import swincli
from swincli.commands.app import run
from swincli.data.store.reader import Store
from swincli.model.files.file_hash import model_identity
from swincli.model.files.tuned import save_deltas, zero_deltas


@pytest.fixture(scope="module")
def model(trained_run: Path) -> swincli.LoadedModel:
    return swincli.load_model(trained_run, "cpu")


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    return str(save_script(MeanColours(), tmp_path / "colours.pt"))


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*map(str, arguments), "--json", "-q", "--device", "cpu"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_model_is_measured_as_by_the_command(
    model: swincli.LoadedModel, store: Store, detector: str, capsys: pytest.CaptureFixture[str], trained_run: Path
) -> None:
    names = ["fid", "kid", "pr"]
    result = swincli.evaluate(model, store.path, names, num=6, seed=1, truncation=0.8, detector=detector)
    command = ["evaluate", "--checkpoint", trained_run, "--data", store.path, "--metric", "fid,kid,pr", "--num", 6]
    expected = printed(capsys, *command, "--seed", 1, "--truncation", 0.8, "--detector", detector)
    assert json.loads(json.dumps(result)) == expected


def test_an_array_is_measured_as_its_folder(
    model: swincli.LoadedModel, store: Store, detector: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = model.sample(range(6))
    (tmp_path / "images").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
    of_array = swincli.evaluate(images, store.path, ["fid", "kid"], detector=detector, device="cpu")
    of_folder = swincli.evaluate(tmp_path / "images", store.path, ["fid", "kid"], detector=detector, device="cpu")
    command = ["evaluate", "--images", tmp_path / "images", "--data", store.path, "--metric", "fid,kid"]
    assert json.loads(json.dumps(of_folder)) == printed(capsys, *command, "--detector", detector)
    assert of_array["metrics"] == of_folder["metrics"]
    assert of_array["protocol"]["fakes"]["source"] == "images in memory"


def test_a_tuned_model_is_not_taken_for_that_of_the_run(
    model: swincli.LoadedModel, store: Store, detector: str, tmp_path: Path, trained_run: Path
) -> None:
    weights, log = tmp_path / "tuned.safetensors", trained_run / "metrics.jsonl"
    save_deltas(weights, model.core, zero_deltas(model.core.generator), "a test")
    swincli.evaluate(model, store.path, num=4, detector=detector)
    before = log.read_text()
    tuned = swincli.load_model(trained_run, "cpu", tuned=weights)
    result = swincli.evaluate(tuned, store.path, num=4, detector=detector)
    assert result["protocol"]["fakes"]["tuned"] == model_identity(weights)
    assert json.loads(before.splitlines()[-1])["protocol"]["fakes"]["tuned"] is None
    assert log.read_text() == before


def test_more_images_than_asked_for_are_drawn_from(model: swincli.LoadedModel, store: Store, detector: str) -> None:
    images = model.sample(range(6))
    result = swincli.evaluate(images, store.path, num=4, detector=detector, device="cpu")
    assert result["protocol"]["fakes"]["num"] == 4


@pytest.mark.parametrize(
    "images", [np.zeros((4, 16, 16, 3)), np.zeros((4, 16, 16), np.uint8), np.zeros((1, 16, 16, 3), np.uint8)]
)
def test_other_arrays_are_refused(images: Any, store: Store, detector: str) -> None:
    with pytest.raises(swincli.SwincliError, match=r"metrics take uint8 \[N, H, W, 3\]"):
        swincli.evaluate(images, store.path, detector=detector)


def test_wrong_use_is_refused(store: Store) -> None:
    with pytest.raises(swincli.SwincliError, match='unknown metric "fidd"'):
        swincli.evaluate("images", store.path, ["fidd"])
    with pytest.raises(swincli.SwincliError, match="--data or --reference"):
        swincli.evaluate("images")


def test_pictures_are_projected_as_by_the_command(
    model: swincli.LoadedModel, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "me.png"
    Image.fromarray(model.sample([4])[0]).save(picture)
    options = ["--steps", 6, "--loss", "none", "--out", tmp_path / "out"]
    expected = printed(capsys, "project", picture, "--checkpoint", trained_run, *options)
    first = (tmp_path / "out" / "me.npz").read_bytes()
    result = swincli.project(model, [picture], out=tmp_path / "out", steps=6, loss="none", force=True)
    assert json.loads(json.dumps(result)) == expected
    assert (tmp_path / "out" / "me.npz").read_bytes() == first


def test_steps_of_tuning_without_tuning_are_refused(model: swincli.LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(swincli.SwincliError, match="--tune-steps: no effect without --tune"):
        swincli.project(model, ["me.png"], out=tmp_path, tune_steps=5)
