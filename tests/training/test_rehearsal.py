"""The rehearsal of a run: what cannot start is said before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import DataError, RecipeError, ResourceError, SwincliError, UsageError
from swincli.recipe import Recipe
from swincli.training import preflight
from swincli.training.loop import train
from swincli.training.rehearsal import Rehearsal, rehearse
from swincli.training.run.folder import RunFolder

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]


def rehearsed(recipe: Recipe, out: Path, *, resume: bool = True) -> Rehearsal:
    return rehearse(recipe, out, CPU, Console(quiet=True), resume=resume)


def test_a_new_run_and_a_finished_one(tiny_recipe: MakeRecipe, tmp_path: Path, finished_run: Path) -> None:
    new = rehearsed(tiny_recipe(), tmp_path / "run")
    assert (new.images_seen, new.finished) == (0, False)
    assert not (tmp_path / "run").exists()
    done = rehearsed(tiny_recipe(), finished_run)
    assert (done.images_seen, done.finished) == (24, True)
    assert done.facts["goes on from"] == str(RunFolder(finished_run).state(24))
    longer = rehearsed(tiny_recipe("train.total=48"), finished_run)
    assert (longer.images_seen, longer.finished) == (24, False)


@pytest.mark.parametrize(
    ("overrides", "kind", "message"),
    [
        (["data.path=nowhere"], DataError, "nowhere"),
        (["data.path=nowhere", "data.source=neither"], DataError, "data.source: neither does not exist"),
        (["model.size=32"], DataError, "model.size is 32"),
        (["evaluate.every=8", "evaluate.metrics=['fidd']"], RecipeError, "evaluate.metrics: unknown metric"),
        (["train.seed=7"], RecipeError, "train.seed: 7 now, 0 in the run"),
        (["run.grid=[16000, 16000]"], ResourceError, "run.grid: 16,000 x 16,000 images of 16 px take"),
    ],
)
def test_what_cannot_start_is_said_with_its_key(
    tiny_recipe: MakeRecipe,
    finished_run: Path,
    overrides: list[str],
    kind: type[SwincliError],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preflight, "total_memory", lambda: 2**34)
    with pytest.raises(kind) as caught:
        rehearsed(tiny_recipe(*overrides), finished_run)
    assert message in caught.value.message


def test_the_checkpoint_to_start_from_is_needed_by_new_runs_only(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, finished_run: Path
) -> None:
    with pytest.raises(SwincliError, match="nowhere: no such run or model"):
        rehearsed(tiny_recipe("train.init=nowhere"), tmp_path / "run")
    checkpoint = tmp_path / "checkpoint.safetensors"
    shutil.copy(RunFolder(finished_run).model(8), checkpoint)
    recipe = tiny_recipe(f'train.init="{checkpoint}"', "train.total=12", "run.tensorboard=false")
    train(recipe, store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    checkpoint.unlink()
    assert rehearsed(recipe, tmp_path / "run").finished


def test_a_run_that_must_not_be_resumed(tiny_recipe: MakeRecipe, finished_run: Path) -> None:
    with pytest.raises(UsageError, match="--resume is never"):
        rehearsed(tiny_recipe(), finished_run, resume=False)


def test_a_full_disk(tiny_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_bytes", lambda _: 1000)
    with pytest.raises(ResourceError, match="the run needs at least"):
        rehearsed(tiny_recipe(), tmp_path / "run")


def test_networks_of_terabytes(tiny_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "total_memory", lambda: 2**34)
    with pytest.raises(ResourceError, match=r"model\.g_width: the networks take .* cpu has 16.0 GiB"):
        rehearsed(tiny_recipe("model.g_width=65536", "model.head_dim=65536"), tmp_path / "run")


def test_networks_that_fit_exactly(tiny_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe("ema.power=[0.05, 0.1]")
    generator, discriminator = map(preflight.parameter_bytes, preflight.build_on_meta(recipe))
    needed = 7 * generator + 4 * discriminator
    monkeypatch.setattr(preflight, "total_memory", lambda: needed)
    preflight.check_memory(recipe, CPU)
    monkeypatch.setattr(preflight, "total_memory", lambda: needed - 1)
    with pytest.raises(ResourceError, match=r"model.g_width: .* cpu has"):
        preflight.check_memory(recipe, CPU)


def test_states_are_ordered_by_their_images_and_foreign_ones_left_alone(
    tiny_recipe: MakeRecipe, store: Store, finished_run: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(finished_run, tmp_path / "run"))
    shutil.copy(out / "state-000000000016.pt", out / "state-before-the-change.pt")
    (out / "state-1000000000000.pt").write_bytes(b"cut short")
    folder = RunFolder(out)
    names = ["state-1000000000000.pt", "state-000000000024.pt", "state-000000000016.pt"]
    assert [path.name for path in folder.states()] == names
    found = folder.newest_state(Console(quiet=True))
    assert found is not None
    assert found[1]["images_seen"] == 24
    folder.rewind(24, tiny_recipe())
    assert [path.name for path in folder.states()] == names[1:]
    assert (out / "state-before-the-change.pt").exists()
    assert json.loads((out / "stats.jsonl").read_text().splitlines()[-1])["images_seen"] == 24
    assert store is not None
