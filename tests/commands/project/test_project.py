"""The command line of `swincli project`."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from swincli.commands.app import run
from swincli.commands.perception import choose_perception
from swincli.console import Console
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import load_model
from swincli.synthesis.latents.files import open_latents

Capture = pytest.CaptureFixture[str]
QUICK = ["--steps", "3", "--device", "cpu", "--loss", "none"]  # without --loss, the state's discriminator is loaded
needs_av = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="no encoder of videos")


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    random = np.random.default_rng(5)
    paths = [tmp_path / "one.png", tmp_path / "two.jpg"]
    for path, size in zip(paths, ((30, 40), (16, 16)), strict=True):
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return list(map(str, paths))


def project(checkpoint: Path, out: Path, *arguments: str) -> int:
    return run(["project", "--checkpoint", str(checkpoint), "--out", str(out), *QUICK, *arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != "projections.json"}


@pytest.mark.parametrize(("space", "kind"), [("w", "w"), ("w+", "w_plus")])
def test_files_and_figures(
    trained_run: Path, photos: list[str], tmp_path: Path, capsys: Capture, space: str, kind: str
) -> None:
    out = tmp_path / "out"
    arguments = ["--steps", "3", "--device", "cpu", "--space", space, "--json"]
    assert run(["project", *photos, "--checkpoint", str(trained_run), "--out", str(out), *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["source"] for entry in told["results"]] == photos
    model = load_model(find_checkpoint(str(trained_run)), torch.device("cpu"))
    for entry, stem in zip(told["results"], ("one", "two"), strict=True):
        assert entry["latents"] == str(out / f"{stem}.npz")
        assert entry["image"] == str(out / f"{stem}.png")
        assert open_latents(Path(entry["latents"]), model).space == kind
        assert 0 < entry["psnr"] < 60
        assert -1 < entry["ssim"] < 1
        with Image.open(entry["image"]) as image:
            assert image.size == (16, 16)
            assert f"space={space} steps=3 loss=discriminator:state-" in image.text["swincli"]  # type: ignore[attr-defined]
    assert told["tuned"] is None
    assert json.loads((out / "projections.json").read_text())["results"] == told["results"]
    assert sorted(contents(out)) == [
        "one-pair.png", "one.npz", "one.png", "projections.json", "two-pair.png", "two.npz", "two.png",
    ]  # fmt: skip


@pytest.mark.slow
def test_edits_go_on_from_the_files(trained_run: Path, photos: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert project(trained_run, out, photos[0], "--space", "w+", "--tune", "--tune-steps", "2") == 0
    again = ["--checkpoint", str(trained_run), "--out", str(tmp_path / "again"), "--device", "cpu"]
    assert run(["sample", "--latents", str(out / "one.npz"), *again]) == 0
    assert (np.asarray(Image.open(tmp_path / "again/latent-0000.png")) == np.asarray(Image.open(out / "one.png"))).all()
    bent = ["--tuned", str(out / "tuned.safetensors"), "--force"]
    assert run(["sample", "--latents", str(out / "one.npz"), *bent, *again]) == 0
    tuned = np.asarray(Image.open(out / "one-tuned.png"))
    assert (np.asarray(Image.open(tmp_path / "again/latent-0000.png")) == tuned).all()


@pytest.mark.slow
def test_what_is_there_is_left_and_what_is_missing_is_made_again(
    trained_run: Path, photos: list[str], tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert project(trained_run, out, photos[0], "--tune", "--tune-steps", "2") == 0
    first = contents(out)
    before = times(out)
    assert project(trained_run, out, photos[0], "--tune", "--tune-steps", "2") == 0
    assert times(out) == before
    assert contents(out) == first
    (out / "one.npz").unlink()
    (out / "one-tuned.png").unlink()
    assert project(trained_run, out, photos[0], "--tune", "--tune-steps", "2") == 0
    assert contents(out) == first
    capsys.readouterr()
    assert project(trained_run, out, *photos) == 0  # with one more picture
    assert "1 of 2 pictures are already projected" in capsys.readouterr().err
    assert len(json.loads((out / "projections.json").read_text())["results"]) == 2
    assert project(trained_run, out, *photos, "--tune", "--tune-steps", "2") == 1  # they are of one picture
    assert "made with other settings" in capsys.readouterr().err


@pytest.mark.slow
def test_other_settings_need_force(trained_run: Path, photos: list[str], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert project(trained_run, out, photos[0]) == 0
    first = contents(out)
    for other in (["--space", "w+"], ["--seed", "1"], ["--loss", "discriminator"]):
        capsys.readouterr()
        assert project(trained_run, out, photos[0], *other) == 1
        assert "made with other settings" in capsys.readouterr().err
    assert contents(out) == first
    assert project(trained_run, out, photos[0], "--space", "w+", "--force") == 0
    assert contents(out)["one.npz"] != first["one.npz"]


@pytest.mark.slow
@needs_av
def test_a_video_of_the_search(trained_run: Path, photos: list[str], tmp_path: Path) -> None:
    import av

    out = tmp_path / "out"
    assert project(trained_run, out, photos[0]) == 0
    assert project(trained_run, out, photos[0], "--video") == 0
    with av.open(str(out / "one-search.mp4")) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == 3
    assert (frames[0].width, frames[0].height) == (512, 256)
    assert project(trained_run, out, photos[0], "--force") == 0
    assert not (out / "one-search.mp4").exists()


def test_without_a_discriminator(trained_run: Path, photos: list[str], tmp_path: Path, capsys: Capture) -> None:
    model = shutil.copy(find_checkpoint(str(trained_run)), tmp_path / "model.safetensors")
    assert project(Path(model), tmp_path / "out", photos[0], "--loss", "discriminator") == 1
    error = capsys.readouterr().err
    assert "--loss discriminator: " in error
    assert "--loss stlpips" in error
    instead = choose_perception(None, load_model(Path(model), torch.device("cpu")), Console(quiet=True))
    assert instead is None or instead.name == "stlpips"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--steps", "0"], 2, "--steps"),
        (["--space", "z"], 2, "--space"),
        (["--seed", "4294967296"], 2, "--seed"),
        (["--loss", "lpips"], 2, "--loss lpips: no such network"),
        (["--loss", "missing.pt"], 1, "missing.pt: no such file"),
        (["--crop", "none"], 1, "one.png: not square: 40 x 30 px"),
        (["nowhere.png"], 1, "nowhere.png: no such file"),
    ],
)
def test_errors(
    trained_run: Path, photos: list[str], tmp_path: Path, capsys: Capture, arguments: list[str], code: int, message: str
) -> None:
    command = ["project", photos[0], "--checkpoint", str(trained_run), "--out", str(tmp_path / "out")]
    assert run([*command, "--device", "cpu", *arguments]) == code
    output = capsys.readouterr()
    assert message in output.err
    assert "hint:" in output.err
    assert not (tmp_path / "out").exists()


def test_a_picture_is_not_replaced_by_its_projection(
    trained_run: Path, photos: list[str], tmp_path: Path, capsys: Capture
) -> None:
    before = Path(photos[0]).read_bytes()
    assert project(trained_run, tmp_path, photos[0], "--force") == 2
    assert "would overwrite it" in capsys.readouterr().err
    assert Path(photos[0]).read_bytes() == before


@pytest.mark.parametrize(
    ("stem", "options"),
    [
        ("one-pair", []),
        ("one-tuned", ["--tune"]),
        ("one-tuned-pair", ["--tune"]),
    ],
)
def test_no_two_pictures_are_written_to_one_file(
    trained_run: Path, photos: list[str], tmp_path: Path, capsys: Capture, stem: str, options: list[str]
) -> None:
    other = shutil.copy(photos[0], tmp_path / f"{stem}.png")
    assert project(trained_run, tmp_path / "out", photos[0], str(other), *options) == 2
    assert "two results would be written to it" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_tuned_weights_of_other_pictures_are_found_before_the_work(
    trained_run: Path, photos: list[str], tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert project(trained_run, out, photos[0], "--tune", "--tune-steps", "1") == 0
    before = contents(out)
    assert project(trained_run, out, *photos, "--tune", "--tune-steps", "1") == 1
    assert "the codes stay" in " ".join(capsys.readouterr().err.split())
    assert contents(out) == before
    for path in (out / "tuned.safetensors", *out.glob("*-tuned*.png")):
        path.unlink()
    assert project(trained_run, out, *photos, "--tune", "--tune-steps", "1") == 0
    assert contents(out)["one.npz"] == before["one.npz"]


def test_names_are_printed_as_they_are(trained_run: Path, photos: list[str], tmp_path: Path, capsys: Capture) -> None:
    odd = shutil.copy(photos[0], tmp_path / "[red]one.png")
    assert project(trained_run, tmp_path / "out", str(odd)) == 0
    assert " [red]one.png " in capsys.readouterr().err


def test_no_picture_at_all(capsys: Capture) -> None:
    assert run(["project"]) == 2
    assert "IMAGE" in capsys.readouterr().err
