"""A new run never overwrites files of others, nor models whose states were removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import TrainingError
from swincli.recipe import Recipe
from swincli.system.leftovers import host
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder
from swincli.training.run.same_run import check_new_run

MakeRecipe = Callable[..., Recipe]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name",
    ["recipe.toml", "stats.jsonl", "reals.png", "samples/fakes-000000000008.png", "model-000000000008.safetensors"],
)
def test_a_foreign_file_is_never_touched(tmp_path: Path, store: Store, tiny_recipe: MakeRecipe, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('extends = "quickstart"\n# {"images_seen": 5}\n')
    before = contents(tmp_path)
    with pytest.raises(TrainingError, match=f"{name}: exists, and is not of a run") as caught:
        train(tiny_recipe(), store, tmp_path, torch.device("cpu"), Console(quiet=True), resume=True)
    assert "another --out" in str(caught.value.hint)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("overrides", [[], ["train.seed=5"]])
def test_models_whose_states_were_removed_are_kept(
    finished_run: Path, tmp_path: Path, store: Store, tiny_recipe: MakeRecipe, overrides: list[str]
) -> None:
    out = Path(shutil.copytree(finished_run, tmp_path / "run"))
    for state in RunFolder(out).states():
        state.unlink()
    before = contents(out)
    with pytest.raises(TrainingError, match="holds models, such as model-000000000024") as caught:
        train(tiny_recipe(*overrides), store, out, torch.device("cpu"), Console(quiet=True), resume=True)
    assert f"train.init={out / 'model-000000000024.safetensors'}" in str(caught.value.hint)
    assert contents(out) == before


def test_a_session_killed_before_its_first_state_is_started_again(
    finished_run: Path, tmp_path: Path, tiny_recipe: MakeRecipe
) -> None:
    for name in ("recipe.toml", "reals.png", "stats.jsonl", "model-000000000008.safetensors"):
        shutil.copy(finished_run / name, tmp_path / name)
    check_new_run(tmp_path, tiny_recipe("train.total=40", "run.log=4"))
    with pytest.raises(TrainingError, match="holds models"):  # the model of another experiment
        check_new_run(tmp_path, tiny_recipe("train.seed=5"))
    (tmp_path / "model-000000000008.safetensors").unlink()
    check_new_run(tmp_path, tiny_recipe("train.seed=5"))


def test_what_killed_commands_left_in_a_run_does_not_stop_it(tmp_path: Path, tiny_recipe: MakeRecipe) -> None:
    for name in (f".store.partial-{host()}-{os.getpid()}", f".walk.partial-{os.getpid()}"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "images-00000.npy").touch()
    RunFolder(tmp_path).prepare(tiny_recipe())
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


DAMAGED = [
    b"\xff\xfe broken",
    b"[]",
    b'{"images_seen": "8"}',
    b'{"images_seen": true}',
    b'{"images_seen": NaN}',
    b"\0" * 20,
]


def test_damaged_lines_of_logs_are_set_aside_with_one_warning(
    finished_run: Path,
    tmp_path: Path,
    store: Store,
    tiny_recipe: MakeRecipe,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = Path(shutil.copytree(finished_run, tmp_path / "run"))
    whole = (out / "stats.jsonl").read_bytes()
    odd = [b'{"images_seen": 8, "in_training": true, "metrics": ["fid"], "protocol": []}', b'{"images_seen": 8}']
    (out / "stats.jsonl").write_bytes(b"\n".join([*DAMAGED, whole.rstrip(), b'{"images_se']))
    (out / "metrics.jsonl").write_bytes(b"\n".join([*odd, *DAMAGED[:1], b""]))
    recipe = tiny_recipe("train.total=28")
    train(recipe, store, out, torch.device("cpu"), Console(), resume=True)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("stats.jsonl: 6 damaged lines were moved to stats.jsonl.damaged") == 1
    assert said.count("metrics.jsonl: 1 damaged line was moved to metrics.jsonl.damaged") == 1
    assert (out / "stats.jsonl").read_bytes().startswith(whole)
    assert (out / "stats.jsonl.damaged").read_bytes().splitlines() == DAMAGED
    assert (out / "metrics.jsonl").read_bytes().splitlines() == odd
    assert RunFolder(out).best(recipe) is None
