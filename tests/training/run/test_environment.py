"""environment.txt: with what a run was trained, and what has changed since."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.training.run import environment as module
from swincli.training.run.environment import HEADER, changes, environment, note_environment
from swincli.version import __version__

CPU = torch.device("cpu")
Capture = pytest.CaptureFixture[str]


def test_it_says_what_may_change_the_numbers_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1\n2")
    monkeypatch.setenv("TORCH_API_TOKEN", "hidden")
    monkeypatch.setenv("NCCL_SECRET_KEY", "hidden")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    found = environment(CPU, 2)
    assert found["swincli"] == __version__
    assert found["torch"] == torch.__version__
    assert found["processes"] == "2"
    assert found["$OMP_NUM_THREADS"] == "1 2"
    assert "package numpy" in found
    assert "hidden" not in " ".join(found.values())
    assert "$TORCHELASTIC_RUN_ID" not in found
    assert not any("\n" in value for value in found.values())


def test_it_is_written_once_and_changes_are_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    path = tmp_path / "environment.txt"
    note_environment(path, CPU, 1, Console())
    first = path.read_text()
    assert first.startswith(HEADER)
    note_environment(path, CPU, 1, Console())
    assert path.read_text() == first
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(module, "__version__", "99")
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    note_environment(path, CPU, 1, Console())
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith(f"changed since the last session: swincli {__version__} -> 99, $MKL_NUM_THREADS - -> 3 (")
    added = path.read_text().removeprefix(first).splitlines()
    assert added[1].startswith("# 20")
    assert added[2:] == ["swincli: 99", "$MKL_NUM_THREADS: 3"]
    note_environment(path, CPU, 1, Console())
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("MKL_NUM_THREADS")
    note_environment(path, CPU, 1, Console())
    assert path.read_text().endswith("$MKL_NUM_THREADS: -\n")
    assert "$MKL_NUM_THREADS 3 -> -" in " ".join(capsys.readouterr().err.split())


def test_many_changes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    path = tmp_path / "environment.txt"
    note_environment(path, CPU, 1, Console(quiet=True))
    path.write_text(HEADER + "swincli: 0\n")
    monkeypatch.setattr(module, "_packages", dict)
    note_environment(path, CPU, 1, Console())
    said = " ".join(capsys.readouterr().err.split())
    assert said.count(" -> ") == module.MOST_NAMED
    assert " more (" in said


def test_a_note_that_cannot_be_written_is_a_warning(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "environment.txt").mkdir()
    note_environment(tmp_path / "environment.txt", CPU, 1, Console())
    assert "not written, training goes on" in capsys.readouterr().err.replace("\n", " ")


def test_names_on_one_side_only_are_changes() -> None:
    assert changes({"a": "1", "b": "-"}, {"c": "2", "d": "-"}) == {"c": ("-", "2"), "a": ("1", "-")}
