"""The copy of a run on a second disk: complete, read back, never in the way of the run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from same_run import assert_same_run, files

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import ResourceError, TrainingError
from swincli.recipe import Recipe
from swincli.training import loop
from swincli.training.loop import train
from swincli.training.run import mirror as module
from swincli.training.run.mirror import Mirror

MakeRecipe = Callable[..., Recipe]
Capture = pytest.CaptureFixture[str]
WITHOUT_BOARD = "run.tensorboard=false"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))


def run(recipe: Recipe, store: Store, out: Path, console: Console | None = None) -> None:
    train(recipe, store, out, torch.device("cpu"), console or Console(quiet=True), resume=True)


def visible(folder: Path) -> list[str]:
    return [name for name in files(folder) if not name.startswith(".") and "/." not in name]


@pytest.mark.slow
def test_a_run_is_restored_from_its_mirror_and_goes_on_to_the_same_bits(
    tiny_recipe: MakeRecipe, store: Store, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's disk breaks in the middle; the mirror is copied back."""
    out, disk = tmp_path / "run", tmp_path / "disk"
    recipe = tiny_recipe(WITHOUT_BOARD, f'run.mirror="{disk}"')
    step, done = loop.run_step, 0

    def until_the_disk_breaks(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == 6:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_step", until_the_disk_breaks)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, store, out)
    assert set(visible(out)) <= set(visible(disk / "run"))
    shutil.rmtree(out)
    shutil.copytree(disk / "run", out)
    run(recipe, store, out)
    whole = tmp_path / "whole"
    shutil.copytree(finished_run, whole)
    for folder in (out, whole):
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        (folder / "recipe.toml").unlink()  # which names the mirror
    for folder in (out, whole):
        for state in folder.glob("*.pt"):  # so does the state
            content = torch.load(state, weights_only=True)
            torch.save({**content, "recipe": ""}, state)
        for model in folder.glob("model-*"):
            model.unlink()
    assert_same_run(out, whole)


def test_what_is_removed_in_the_run_stays_in_the_mirror(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    run(
        tiny_recipe(WITHOUT_BOARD, f'run.mirror="{disk}"', "run.keep=1", "run.snapshot=4", "train.total=8"),
        store,
        tmp_path / "run",
    )
    assert not (tmp_path / "run/state-000000000004.pt").exists()
    assert (disk / "run/state-000000000008.pt").exists()
    shutil.copy(disk / "run/state-000000000008.pt", disk / "run/state-000000000004.pt")
    run(
        tiny_recipe(WITHOUT_BOARD, f'run.mirror="{disk}"', "run.keep=1", "run.snapshot=4", "train.total=12"),
        store,
        tmp_path / "run",
    )
    assert {"state-000000000004.pt", "state-000000000008.pt", "state-000000000012.pt"} <= set(files(disk / "run"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "samples").mkdir(parents=True)
    for name in ("state-000000000008.pt", "model-000000000008.safetensors", "samples/fakes-000000000008.png", ".lock"):
        (folder / name).write_bytes(os.urandom(1000))
    return folder


def mirror_of(source: Path, recipe: Recipe, *, is_new: bool = False, start: bool = True) -> Mirror:
    mirror = Mirror(source, source.parent / "disk", recipe, Console())
    mirror.rehearse(is_new=is_new)
    if start:
        mirror.start()
    return mirror


def test_a_run_that_was_killed_before_its_first_step_may_begin_again(tiny_recipe: MakeRecipe, source: Path) -> None:
    mirror_of(source, tiny_recipe()).close()
    mirror_of(source, tiny_recipe(), is_new=True, start=False)
    (source / "state-000000000008.pt").unlink()
    with pytest.raises(TrainingError, match="but the run begins"):
        mirror_of(source, tiny_recipe(), is_new=True, start=False)


def test_only_what_is_new_is_copied_again(tiny_recipe: MakeRecipe, source: Path) -> None:
    mirror = mirror_of(source, tiny_recipe())
    mirror.close()
    target = source.parent / "disk" / "run"
    assert files(target) == [name for name in files(source) if name != ".lock"]
    before = {name: (target / name).stat().st_ino for name in files(target)}
    (source / "model-000000000008.safetensors").write_bytes(b"longer" * 1000)
    mirror_of(source, tiny_recipe()).close()
    after = {name: (target / name).stat().st_ino for name in files(target)}
    assert [name for name in after if after[name] != before[name]] == ["model-000000000008.safetensors"]
    assert (target / "model-000000000008.safetensors").read_bytes() == b"longer" * 1000


def test_a_disk_that_is_away_for_a_while_is_told_and_tried_again(
    tiny_recipe: MakeRecipe, source: Path, capsys: Capture
) -> None:
    mirror = mirror_of(source, tiny_recipe(), start=False)
    target = source.parent / "disk" / "run"
    target.rmdir()
    mirror._round()
    assert capsys.readouterr().err.replace("\n", "") == (
        f"warning: run.mirror: not copied, training goes on; the next save tries again: {target}: is gone"
    )
    assert not target.exists()  # made again, it could be on the wrong disk
    target.mkdir()
    mirror._round()
    assert "is complete again, with 3 new files" in capsys.readouterr().err
    mirror._round()
    assert capsys.readouterr().err == ""


def test_a_disk_that_claims_success_is_found_out(
    tiny_recipe: MakeRecipe, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    mirror = mirror_of(source, tiny_recipe(), start=False)
    write = module._write

    def lying(read: Callable[[int], bytes], path: Path) -> str:
        said = write(read, path)
        path.write_bytes(b"zeros")
        return said

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", lying)
        mirror._round()
    assert "does not give back what was written" in capsys.readouterr().err.replace("\n", " ")
    assert files(source.parent / "disk" / "run") == []
    mirror._round()
    assert len(files(source.parent / "disk" / "run")) == 3


def test_a_failure_costs_the_run_nothing_but_a_line(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def fail(*_: object) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "_write", fail)
    run(
        tiny_recipe(WITHOUT_BOARD, f'run.mirror="{tmp_path / "disk"}"', "train.total=8"),
        store,
        tmp_path / "run",
        Console(),
    )
    assert (tmp_path / "run/state-000000000008.pt").exists()
    said = capsys.readouterr().err
    assert "run.mirror: not copied" in said
    assert "error:" not in said
    assert "Traceback" not in said


def test_the_rehearsal_refuses_what_cannot_be_written_but_only_for_a_new_run(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("in the way")
    recipe = tiny_recipe(WITHOUT_BOARD, f'run.mirror="{tmp_path / "file"}"', "train.total=4")
    with pytest.raises(ResourceError, match=r"run\.mirror: writing"):
        run(recipe, store, tmp_path / "run")
    run(tiny_recipe(WITHOUT_BOARD, "train.total=4"), store, tmp_path / "run")
    run(recipe, store, tmp_path / "run", Console())
    assert "each save tries again" in capsys.readouterr().err


def test_another_run_in_the_mirror_is_never_written_over(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, finished_run: Path
) -> None:
    disk = tmp_path / "disk"
    shutil.copytree(finished_run, disk / "run")
    before = {name: (disk / "run" / name).read_bytes() for name in files(disk / "run")}
    for override, words in (("train.seed=7", "holds another run"), ("train.seed=0", "but the run begins")):
        with pytest.raises(TrainingError, match=words):
            run(tiny_recipe(WITHOUT_BOARD, f'run.mirror="{disk}"', override), store, tmp_path / "run")
    with pytest.raises(TrainingError, match="is the run folder itself"):
        run(tiny_recipe(WITHOUT_BOARD, f'run.mirror="{tmp_path}"'), store, tmp_path / "run")
    assert {name: (disk / "run" / name).read_bytes() for name in files(disk / "run")} == before
