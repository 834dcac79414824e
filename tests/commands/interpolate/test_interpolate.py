"""The command line of `swincli interpolate`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from sampled_models import pixels, sample

from swincli.commands.app import run
from swincli.metrics.networks import stlpips
from swincli.synthesis.latents.codes import z_from_seeds

Capture = pytest.CaptureFixture[str]


def interpolate(model: Path, out: Path, *arguments: str) -> int:
    return run(["interpolate", "--checkpoint", str(model), "--out", str(out), "--device", "cpu", *arguments])


def frames(folder: Path) -> list[np.ndarray]:
    return [pixels(path) for path in sorted(folder.iterdir())]


def test_frames_lead_from_seed_to_seed(model: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "walk"
    assert interpolate(model, out, "--seeds", "1,5,9", "--frames", "4,3", "--truncation", "0.8") == 0
    assert capsys.readouterr().out == f"{out}\n"
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"frame-{index:06d}.png" for index in range(7)]
    assert sample(model, tmp_path / "seeds", "--seeds", "1,5,9", "--truncation", "0.8") == 0
    walked = frames(out)
    for index, seed in ((0, 1), (4, 5), (6, 9)):
        assert np.abs(walked[index] - pixels(tmp_path / f"seeds/seed-{seed:06d}.png")).max() <= 1
    assert np.abs(walked[0] - walked[4]).max() > 2


def test_an_mp4_by_default(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["interpolate", "--checkpoint", str(model), "--seeds", "0-5", "--grid", "3x1", "--loop", "--json"]
    assert run([*command, "--frames", "5", "--fps", "10", "--easing", "smooth"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "path": "walk.mp4",
        "frames": 10,
        "fps": 10.0,
        "walks": 3,
        "segments": 2,
        "pace": None,
    }
    with av.open("walk.mp4") as file:
        decoded = list(file.decode(video=0))
        assert (len(decoded), decoded[0].width, decoded[0].height) == (10, 48, 16)
        assert file.streams.video[0].average_rate == 10


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations(model: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"walk{suffix}"
    assert (
        interpolate(model, out, "--seeds", "1,5", "--frames", "6", "--space", "z", "--quality", "95", "--enlarge", "3")
        == 0
    )
    with Image.open(out) as file:
        assert (file.n_frames, file.size) == (6, (48, 48))  # type: ignore[attr-defined]


def test_codes_of_files_and_kept_layers(model: Path, tmp_path: Path) -> None:
    """A walk between two files of codes, first whole, then with the layers of --mix fixed."""
    z = z_from_seeds([3, 4], 16).numpy()
    np.savez(tmp_path / "one.npz", z=z[:1])
    np.savez(tmp_path / "two.npz", z=z[1:])
    files = ("--latents", str(tmp_path / "one.npz"), "--latents", str(tmp_path / "two.npz"), "--frames", "3")
    assert interpolate(model, tmp_path / "files", *files) == 0
    assert interpolate(model, tmp_path / "seeds", "--seeds", "3,4", "--frames", "3") == 0
    for one, other in zip(frames(tmp_path / "files"), frames(tmp_path / "seeds"), strict=True):
        assert np.abs(one - other).max() <= 1
    assert interpolate(model, tmp_path / "still", *files, "--mix", "7@all") == 0
    assert interpolate(model, tmp_path / "mixed", *files, "--mix", "7@0-1", "--mix", "8@2") == 0
    assert sample(model, tmp_path / "seven", "--seeds", "7") == 0
    for frame in frames(tmp_path / "still"):
        assert np.abs(frame - pixels(tmp_path / "seven/seed-000007.png")).max() <= 1
    mixed = frames(tmp_path / "mixed")
    assert np.abs(mixed[0] - mixed[2]).max() > 0
    assert np.abs(mixed[0] - frames(tmp_path / "seeds")[0]).max() > 1


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("stlpips_pytorch") is None, reason="no weights of the perceptual distance")
def test_a_perceptual_pace_is_more_even(model: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "walk"
    paced = ("--pace", "perceptual", "--frames", "12", "--json", "--seeds", "0,1")
    assert interpolate(model, out, *paced) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["frames"] == 12
    assert said["pace"]["places"] == 74
    assert 1 <= said["pace"]["unevenness_after"] < said["pace"]["unevenness_before"]
    assert interpolate(model, tmp_path / "latent", "--seeds", "0,1", "--frames", "12") == 0
    walked, plain = frames(out), frames(tmp_path / "latent")
    for index in (0, -1):
        assert np.abs(walked[index] - plain[index]).max() <= 1
    assert np.abs(walked[6] - plain[6]).max() > 1


def test_what_is_there_stays_unless_forced(model: Path, tmp_path: Path, capsys: Capture) -> None:
    for name in ("walk.gif", "walk"):
        out, wanted = tmp_path / name, ("--seeds", "1,5", "--frames", "3")
        assert interpolate(model, out, *wanted) == 0
        assert interpolate(model, out, *wanted) == 1
        assert f"error: {out}" in capsys.readouterr().err
        assert interpolate(model, out, *wanted, "--force") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--seeds, --latents: give key frames by one of them"),
        (["--seeds", "5"], "a walk needs at least two key frames, but there is one"),
        (["--seeds", "0-5", "--grid", "3x2"], "each of 6 walks needs at least two key frames, but there are 6"),
        (["--seeds", "0-6", "--grid", "3x1"], "--grid 3x1: 7 key frames cannot be divided evenly among 3 walks"),
        (["--seeds", "0,1", "--frames", "0"], "--frames 0: '0' is not a number of frames"),
        (["--seeds", "0,1", "--frames", "-5"], "--frames -5: '-5' is not a number of frames"),
        (["--seeds", "0-2", "--frames", "5,6,7"], "--frames 5,6,7: 3 numbers for 2 segments"),
        (["--seeds", "0,1", "--grid", "3"], "--grid 3: '3' is not a grid size"),
        (["--seeds", "0,1", "--mix", "7"], "--mix 7: must be a seed and its layers"),
        (["--seeds", "0,1", "--mix", "7@fine"], "--mix 7@fine: this model has no fine layers"),
        (["--seeds", "0,1", "--mix", "7@0-9"], "--mix 7@0-9: this model has layers 0-5, not 9"),
        (["--seeds", "0,1", "--mix", "7@0", "--mix", "8@all"], "--mix 8@all: layer 0 is already fixed"),
        (["--seeds", "0,1", "--space", "z", "--curve", "spline"], "--curve spline: cannot be combined with --space z"),
        (["--seeds", "0,1", "--truncation-layers", "3"], "--truncation-layers 3"),
        (["--seeds", "0,1", "--class", "cat"], "is an unconditional model"),
        (["--seeds", "0,1", "--fps", "99"], "99 frames per second; gif takes 0.01 to 50"),
        (
            ["--seeds", "0,1", "--pace", "perceptual", "--easing", "smooth"],
            "--pace perceptual: cannot be combined with --easing",
        ),
        (
            ["--seeds", "0,1", "--truncation", "0.5", "--truncation-centres", "2", "--space", "z"],
            "--truncation-centres",
        ),
    ],
)
def test_wrong_use_exits_with_2(
    model: Path, tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert interpolate(model, tmp_path / "walk.gif", *arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert "hint:" in output.err
    assert output.out == ""
    assert [path.name for path in tmp_path.iterdir() if "walk" in path.name] == []


def test_what_cannot_be_done_exits_with_1(
    model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "wide.npz", w=torch.zeros(2, 17).numpy())
    (tmp_path / "file").touch()
    for out, arguments, message in (
        ("a.gif", ("--latents", str(tmp_path / "wide.npz")), "wide.npz: w is float32 [2, 17]"),
        ("file/a.gif", ("--seeds", "0,1", "--frames", "2"), "error: writing"),
        ("file", ("--seeds", "0,1", "--frames", "2"), "file is a file"),
    ):
        assert interpolate(model, tmp_path / out, *arguments) == 1
        assert message in capsys.readouterr().err
    monkeypatch.setattr(stlpips.WEIGHTS.__class__, "find", lambda self: None)  # noqa: ARG005
    assert interpolate(model, tmp_path / "a.gif", "--seeds", "0,1", "--pace", "perceptual") == 1
    assert "the package stlpips-pytorch is not installed" in capsys.readouterr().err
