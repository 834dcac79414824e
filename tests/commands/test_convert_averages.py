"""The command line of `swincli convert RUN OUT --ema-width`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from swincli.commands.app import run

Capture = pytest.CaptureFixture[str]


def convert(*arguments: object) -> int:
    return run(["convert", *map(str, arguments)])


def test_a_width_becomes_a_model_that_is_sampled_and_converted(
    averaged_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    model = tmp_path / "width.safetensors"
    assert convert(averaged_run, model, "--ema-width", 0.07, "--json") == 0
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert 0 < answer.pop("profile_error") < 0.1
    assert answer == {"path": str(model), "images_seen": 24, "parts": ["g_ema"], "ema_width": 0.07, "snapshots": 6}
    assert "EMA width 0.07 at 24 images, from 6 snapshots; error of the profile: " in output.err
    assert run(["sample", "--checkpoint", str(model), "--seeds", "0", "--out", str(tmp_path / "samples")]) == 0
    assert (tmp_path / "samples" / "seed-000000.png").exists()
    assert convert(model, tmp_path / "back.pt") == 0


def test_an_earlier_moment(averaged_run: Path, tmp_path: Path, capsys: Capture) -> None:
    model = tmp_path / "early.safetensors"
    assert convert(averaged_run, model, "--ema-width", 0.1, "--at", "16", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["images_seen"], answer["snapshots"], answer["profile_error"]) == (16, 1, 0.0)


def test_a_width_that_the_snapshots_cannot_make_is_warned_of(
    averaged_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert convert(averaged_run, tmp_path / "model.safetensors", "--ema-width", 0.28) == 0
    assert "too few or too far apart for this width" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}", "{out}", "--ema-width", "0.5"], "--ema-width 0.5: must be from 0.01 to 0.28"),
        (["{run}", "{out}", "--ema-width", "nan"], "--ema-width nan: must be from"),
        (["{run}", "{out}", "--ema-width", "0.07", "--at", "12"], "--at 12: {run} has no snapshot there"),
        (["{run}", "{out}", "--ema-width", "0.07", "--at", "soon"], "--at soon: 'soon' is not a number of images"),
        (["{run}", "{out}", "--ema-width", "0.07", "--at", "8"], "has only one snapshot"),
        (["{run}", "{out}.pt", "--ema-width", "0.07"], "must end in .safetensors with --ema-width"),
        (
            ["{run}", "{out}", "--ema-width", "0.07", "--images-seen", "8"],
            "--images-seen: cannot be combined with --ema-width",
        ),
        (["{run}", "{out}"], "one must be a .pt file"),
        (["{out}", "{out}", "--ema-width", "0.07"], "not a run folder"),
        (["a.pt", "{out}", "--at", "8"], "--at: needs --ema-width"),
    ],
)
def test_wrong_use_exits_with_2(
    averaged_run: Path, tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    places = {"run": str(averaged_run), "out": str(tmp_path / "out.safetensors")}
    assert convert(*(argument.format(**places) for argument in arguments)) == 2
    output = capsys.readouterr()
    assert message.format(**places) in output.err
    assert output.out == ""
    assert not (tmp_path / "out.safetensors").exists()


def test_failures_exit_with_1(averaged_run: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.safetensors"
    assert convert(tmp_path, out, "--ema-width", 0.07) == 1
    assert f"{tmp_path}: has no power-function EMAs" in capsys.readouterr().err
    damaged = Path(shutil.copytree(averaged_run, tmp_path / "run"))
    broken = next((damaged / "averages").iterdir())
    broken.write_bytes(b"nothing")
    assert convert(damaged, out, "--ema-width", 0.07) == 1
    assert f"{broken}: damaged" in capsys.readouterr().err
    assert not out.exists()
