"""The command line of `swincli export`: what it refuses, and that a file appears whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampled_models import save_shown_model

from swincli.commands.app import run
from swincli.commands.export import run as export_run
from swincli.exporting import onnx_file
from swincli.exporting.agreement import Inputs, expected_output
from swincli.recipe import Recipe

Capture = pytest.CaptureFixture[str]


def export(*arguments: str | Path) -> int:
    return run(["export", *map(str, arguments), "--device", "cpu"])


def error_of(capsys: Capture) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def fake_exporter(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Instead of PyTorch's exporter and onnxruntime: a file whose images are the model's plus a difference."""

    def use(difference: float) -> None:
        def save(path: Path, *given: Any) -> None:  # noqa: ARG001
            path.write_bytes(b"graph")

        monkeypatch.setattr(export_run, "save_onnx", save)
        monkeypatch.setattr(export_run, "PRECISIONS", {"int8": lambda source, dest: None})  # noqa: ARG005
        models: list[Any] = []
        make_probes = export_run.make_probes

        def probes(model: Any, graph: Any) -> Any:
            models[:] = [model]
            return make_probes(model, graph)

        def open_file(path: Path, graph: Any, name: str) -> Any:  # noqa: ARG001
            opened.append(path)
            added = difference if len(opened) > 1 or not low_only else 0.0

            def give(inputs: Inputs) -> np.ndarray:
                return (expected_output(models[0], graph, inputs) + np.float32(added)).clip(0, 1)

            return give

        opened: list[Path] = []
        low_only = difference < 0
        monkeypatch.setattr(export_run, "make_probes", probes)
        monkeypatch.setattr(export_run, "open_onnx", open_file)

    return use


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "OUT, --web: give a file, a folder for a page, or both"),
        (["model.tflite"], "model.tflite: the file name must end in .onnx or .pt2"),
        (["model.onnx", "--opset", "11"], "--opset 11: too old"),
        (["model.onnx", "--opset", "99"], "--opset 99: too new"),
        (["model.pt2", "--opset", "20"], "--opset: only for an .onnx file"),
        (["model.pt2", "--precision", "int8"], "--precision: only for an .onnx file"),
        (["model.onnx", "--web", "site"], "--web: needs --runtime"),
        (["model.onnx", "--runtime", "x"], "--runtime: needs --web"),
        (["model.onnx", "--num", "2k"], "--num: needs --precision fp16 or int8"),
        (["model.onnx", "--precision", "int8", "--num", "1"], "--num 1: must be at least 2"),
        (["--web", "site", "--runtime", "x", "--input", "w-plus"], "--input: needs OUT"),
    ],
)
def test_wrong_use_is_one_sentence(arguments: list[str], message: str, capsys: Capture) -> None:
    assert export("builtin:cats32", *arguments) == 2
    assert message in error_of(capsys)


def test_a_file_is_said_and_described(
    model: Path, tmp_path: Path, capsys: Capture, fake_exporter: Callable[[float], None]
) -> None:
    fake_exporter(0.0)
    assert export(model, tmp_path / "model.onnx", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "path": str(tmp_path / "model.onnx"),
        "web": None,
        "images_seen": 10,
        "bytes": 5,
        "inputs": ["z", "truncation", "truncation_layers"],
        "output": "image",
        "precision": "fp32",
        "largest_difference": 0.0,
        "bytes_changed": 0.0,
        "psnr": None,
        "fid": None,
    }
    assert export(model, tmp_path / "model.onnx") == 1
    assert "model.onnx: exists" in error_of(capsys)
    assert export(model, tmp_path / "model.onnx", "--force", "-q") == 0


def test_a_graph_that_differs_is_not_written(
    model: Path, tmp_path: Path, capsys: Capture, fake_exporter: Callable[[float], None]
) -> None:
    fake_exporter(0.01)
    assert export(model, tmp_path / "model.onnx") == 1
    assert "model.onnx: not written, because the exported graph differs from PyTorch by 0.01 (3 of 255)" in error_of(
        capsys
    )
    assert list(tmp_path.iterdir()) == []


def test_a_lower_precision_below_the_gate_is_refused_with_its_psnr(
    model: Path, tmp_path: Path, capsys: Capture, fake_exporter: Callable[[float], None]
) -> None:
    fake_exporter(-0.1)
    assert export(model, tmp_path / "model.onnx", "--precision", "int8") == 1
    said = error_of(capsys)
    assert "model.onnx: not written, int8 changes the images: PSNR 2" in said
    assert "dB (the least of 16 images), at least 30" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fid", "status"), [(0.5, 0), (1.5, 1)])
def test_a_lower_precision_passes_the_gate_of_fid_or_is_refused(
    fid: float,
    status: int,
    model: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    fake_exporter: Callable[[float], None],
) -> None:
    fake_exporter(-0.01)
    monkeypatch.setattr(export_run, "choose_detector", lambda *given: None)  # noqa: ARG005
    monkeypatch.setattr(export_run, "load_detector", lambda *given: None)  # noqa: ARG005
    monkeypatch.setattr(export_run, "fid_between", lambda *given: fid)  # noqa: ARG005
    assert export(model, tmp_path / "model.onnx", "--precision", "int8", "--num", "64") == status
    said = error_of(capsys)
    assert (
        "FID 0.500 between 64 images of each" if status == 0 else "FID 1.50 between 64 images of each, at most 1"
    ) in said
    assert (tmp_path / "model.onnx").exists() == (status == 0)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, *given: Any) -> None:  # noqa: ARG001
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    for name, file in (("save_onnx", "model.onnx"), ("save_pt2", "model.pt2")):
        monkeypatch.setattr(export_run, name, fail)
        assert export(model, tmp_path / file) == 1
        assert f"writing {tmp_path / file}: no space left on the disk" in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", onnx_file.PACKAGES)
def test_a_missing_package_is_named_with_its_extra(
    package: str, model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else object())
    assert export(model, tmp_path / "model.onnx") == 1
    said = error_of(capsys)
    assert f"model.onnx: the package {package} is not installed" in said
    assert 'pip install "swincli[export]"' in said


def test_adaptive_batch_statistics_are_refused_by_name(
    shown_recipe: Callable[..., Recipe], tmp_path: Path, capsys: Capture
) -> None:
    path = save_shown_model(shown_recipe("model.style=adabn"), tmp_path / "batch.safetensors")
    assert export(path, tmp_path / "model.onnx") == 1
    assert 'batch.safetensors: model.style = "adabn" normalises by statistics of training batches' in error_of(capsys)
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_that_is_not_there_and_a_folder_in_the_way(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert export("builtin:dogs", tmp_path / "model.onnx") == 1
    assert "builtin:dogs: no such model" in error_of(capsys)
    (tmp_path / "model.onnx").mkdir()
    assert export(model, tmp_path / "model.onnx") == 1
    assert "model.onnx: is a folder" in error_of(capsys)
