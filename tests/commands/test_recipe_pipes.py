"""Recipes from pipes: read once, and kept in the run folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swincli.commands.app import run

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")


@contextmanager
def piped(folder: Path, text: str) -> Iterator[str]:
    """A pipe that a recipe is written to once."""
    path = folder / "pipe"
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(text,))
    writer.start()
    yield str(path)
    writer.join(timeout=30)


@pytest.fixture
def text(tiny_recipe_file: Path) -> str:
    return tiny_recipe_file.read_text()


def test_commands_about_recipes_read_a_pipe_once(text: str, tmp_path: Path, capsys: Capture) -> None:
    with piped(tmp_path, text) as pipe:
        assert run(["recipe", "validate", pipe]) == 0
    capsys.readouterr()
    with piped(tmp_path, text) as pipe:
        assert run(["recipe", "show", pipe]) == 0
    assert capsys.readouterr().out.splitlines() == text.splitlines()


def test_a_run_of_a_pipe_goes_on_with_the_recipe_that_it_kept(
    text: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    with piped(tmp_path, text) as pipe:
        assert run(["train", pipe, "--out", str(out), "--device", "cpu", "--max-time", "1s"]) == 3
    kept = f"swincli train {out / 'recipe.toml'} --out {out}"
    assert kept in " ".join(capsys.readouterr().err.split())
    assert run([*kept.split()[1:], "--device", "cpu"]) == 0
    assert (out / "model-000000000024.safetensors").exists()


def test_a_pipe_gives_a_run_no_name(
    text: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with piped(tmp_path, text) as pipe:
        assert run(["train", pipe, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "a recipe from a pipe has no name" in said
    assert "--out DIR" in said
    with piped(tmp_path, text) as pipe:
        assert run(["train", pipe, "--device", "cpu", "--set", "run.name=named", "--dry-run"]) == 0
    assert "run: runs/named" in capsys.readouterr().out


def test_a_recipe_in_a_pipe_extends_one_of_the_working_directory(
    tmp_path: Path, tiny_recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with piped(tmp_path, f'extends = "{tiny_recipe_file.name}"\n') as pipe:
        assert run(["recipe", "validate", pipe]) == 0
