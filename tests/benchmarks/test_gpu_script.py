"""The command for a GPU, with a CPU and tiny networks in its place. The figures mean nothing there."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from swincli.system import runtime

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The command, whose rows are measured in this process."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    command = importlib.import_module("gpu")

    def here(name: str, arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
        assert seconds > 0
        figures: dict[str, Any] = command.ROWS[name](command.Setting(torch.device("cpu"), arguments.tiny, 1))
        return figures

    monkeypatch.setattr(command, "run_row", here)
    monkeypatch.setattr(command, "WARM_UP", 0)
    yield command
    runtime.configure()  # rows switch TF32


def run(command: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """The exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(gpu, monkeypatch) == "benchmarks/gpu.py needs a CUDA device, and there is none"


def test_its_rows_run_on_tiny_networks(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["matrix rates", "parity, 256 px", "sampling, 256 px, shipped", "sampling, 256 px hybrid, shipped"]
    arguments = ["--device", "cpu", "--tiny", "--only", *rows, "--json", str(tmp_path / "gpu.json")]
    assert not run(gpu, monkeypatch, *arguments)
    found = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert list(found) == rows
    assert found["parity, 256 px"] == {"parity_g": 0.0, "parity_d": 0.0}
    said = capsys.readouterr().out
    assert said.count(" images/s, ") == 2
    assert said.count("% of bf16") == 2


def test_a_failed_row_and_one_without_time_are_named(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"right": False, "failure": "", "results": {"images of G": {"difference": 0.5}}}
    monkeypatch.setattr(gpu, "run_row", lambda *_: wrong)
    assert run(gpu, monkeypatch, "--device", "cpu", "--only", "compared with the CPU") == 1
    assert "WRONG, largest difference 5.0e-01" in capsys.readouterr().out
    assert run(gpu, monkeypatch, "--device", "cpu", "--minutes", "0", "--only", "tests") == 1
    assert "no time left" in capsys.readouterr().out


@pytest.mark.slow
def test_every_row_but_compiling_runs_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.path.append(str(BENCHMARKS))
    command = importlib.import_module("gpu")
    rows = [name for name in command.ROWS if "compiled" not in name]
    options = ("--device", "cpu", "--tiny", "--repeats", "1", "--minutes", "60")  # whatever else the machine does
    assert not run(command, monkeypatch, *options, "--only", *rows)
