"""`run()` of the commands, called from Python with loaded models and arrays: the same results, and no output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sampled_models import sample
from scripted_networks import MeanColours, save_script

from swincli.commands import app
from swincli.commands.evaluate.request import EvaluateRequest
from swincli.commands.evaluate.run import run as run_evaluate
from swincli.commands.interpolate.request import InterpolateRequest
from swincli.commands.interpolate.run import run as run_interpolate
from swincli.commands.project.request import ProjectRequest
from swincli.commands.project.run import run as run_project
from swincli.commands.sample.request import SampleRequest
from swincli.commands.sample.run import run as run_sample
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.metrics.protocol import FakesRecord
from swincli.metrics.streams.images import ImageStream
from swincli.model.files.model_file import load_model

Capture = pytest.CaptureFixture[str]
CPU = torch.device("cpu")


@pytest.fixture
def console() -> Console:
    return Console(quiet=True)


def assert_silent_and_same(result: Result, command: list[str], capsys: Capture) -> None:
    """Check that nothing has been printed, and that the command prints the result's facts and lines."""
    assert capsys.readouterr().out == ""
    assert app.run([*command, "--json", "--quiet", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(result.facts))
    assert app.run([*command, "--quiet", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines() == result.lines


def test_sample(model: Path, tmp_path: Path, console: Console, capsys: Capture) -> None:
    request = SampleRequest(seeds="3-4", truncation=1, out=tmp_path / "out", grid="2x1")
    request.check()
    result = run_sample(request, CPU, console, model=load_model(model, CPU))
    times = [path.stat().st_mtime_ns for path in sorted(request.out.iterdir())]
    command = ["sample", "--checkpoint", str(model), "--seeds", "3-4", "--out", str(request.out), "--grid", "2x1"]
    assert_silent_and_same(result, command, capsys)
    assert [path.stat().st_mtime_ns for path in sorted(request.out.iterdir())] == times


def test_interpolate(model: Path, tmp_path: Path, console: Console, capsys: Capture) -> None:
    request = InterpolateRequest(seeds="1,5", frames="3", out=tmp_path / "walk.gif", force=True)
    request.check()
    result = run_interpolate(request, CPU, console, model=load_model(model, CPU))
    command = ["interpolate", "--checkpoint", str(model), "--seeds", "1,5", "--frames", "3", "--force"]
    assert_silent_and_same(result, [*command, "--out", str(request.out)], capsys)


def test_project(model: Path, pictures: Path, tmp_path: Path, console: Console, capsys: Capture) -> None:
    picture = str(pictures / "0.png")
    request = ProjectRequest(images=[picture], steps=2, loss="none", out=tmp_path / "out")
    request.check()
    result = run_project(request, CPU, console, model=load_model(model, CPU))
    command = ["project", picture, "--checkpoint", str(model), "--steps", "2", "--loss", "none"]
    assert_silent_and_same(result, [*command, "--out", str(request.out)], capsys)


def test_evaluate_a_model_and_arrays(
    model: Path, pictures: Path, tmp_path: Path, console: Console, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    script = save_script(MeanColours(), tmp_path / "colours.pt")
    request = EvaluateRequest(data=str(pictures), num="6", detector_weights=script)
    request.check()
    of_model = run_evaluate(request, CPU, console, fakes=load_model(model, CPU))
    command = ["evaluate", "--checkpoint", str(model), "--data", str(pictures), "--num", "6"]
    assert_silent_and_same(of_model, [*command, "--detector-weights", str(script)], capsys)
    assert sample(model, tmp_path / "drawn", "--count", "6", "--quiet") == 0
    arrays = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "drawn").iterdir())]
    stream = ImageStream([lambda array=array: array for array in arrays], FakesRecord("arrays", len(arrays), 16))
    capsys.readouterr()
    of_arrays = run_evaluate(request, CPU, console, fakes=stream)
    assert of_arrays.facts["metrics"] == pytest.approx(of_model.facts["metrics"], rel=1e-6)
    assert of_arrays.facts["protocol"]["fakes"]["source"] == "arrays"
    assert capsys.readouterr().out == ""
