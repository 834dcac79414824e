"""What is found out before a run starts: whether the disk has room for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import ResourceError
from swincli.recipe import Recipe
from swincli.training import preflight
from swincli.training.loop import train
from swincli.training.preflight import check_disk, disk_needs, open_training_store
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState, build_state

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
WIDER = (
    "model.g_width=64",
    "model.d_width=64",
    "run.tensorboard=false",
)  # so that weights, not headers, fill the files


def built(recipe: Recipe, store: Store) -> TrainingState:
    return build_state(recipe, store.content_hash, CPU)


def test_what_a_run_needs_is_about_what_it_takes(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    recipe = tiny_recipe(*WIDER, "run.snapshot=4", "run.samples=4", "train.total=16")
    train(recipe, store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    taken = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file())
    state = built(recipe, store)
    needs = disk_needs(recipe, state.generator, state.discriminator)
    assert taken <= needs.whole <= 2 * taken  # of three states one goes before the run ends
    assert needs.soon < needs.whole


@pytest.mark.parametrize(
    "more", ["run.keep=3", "evaluate.every=8", "train.total=4000", "run.samples=1", "ema.power=[0.05,0.1]"]
)
def test_what_needs_more_disk(tiny_recipe: MakeRecipe, store: Store, more: str) -> None:
    wholes = []
    for overrides in ((), (more,)):
        recipe = tiny_recipe(*overrides)
        state = built(recipe, store)
        wholes.append(disk_needs(recipe, state.generator, state.discriminator).whole)
    assert wholes[0] < wholes[1]


def test_no_room_for_the_first_saves_is_an_error_and_too_little_for_all_a_warning(
    tiny_recipe: MakeRecipe,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = built(tiny_recipe("train.total=4000"), store)
    needs = disk_needs(state.recipe, state.generator, state.discriminator)
    folder = RunFolder(tmp_path / "not" / "yet")
    check_disk(folder, state, Console())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(preflight, "free_bytes", lambda _: needs.soon)
    check_disk(folder, state, Console())
    assert "all files of the run may need" in capsys.readouterr().err
    monkeypatch.setattr(preflight, "free_bytes", lambda _: needs.soon - 1)
    with pytest.raises(ResourceError, match="but the run needs at least"):
        check_disk(folder, state, Console())


def test_states_that_are_there_already_need_no_more_room(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe("run.tensorboard=false", "train.total=8")
    train(recipe, store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    state = built(recipe, store)
    needs = disk_needs(recipe, state.generator, state.discriminator)
    monkeypatch.setattr(preflight, "free_bytes", lambda _: needs.soon - 1)
    check_disk(RunFolder(tmp_path / "run"), state, Console(quiet=True))


def test_a_missing_store_is_made_with_its_labels(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    for label, grey in (("dark", 20), ("light", 220)):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for index in range(3):
            Image.new("RGB", (16, 16), (grey, grey, index)).save(tmp_path / "pictures" / label / f"{index}.png")
    source = (f'data.source="{tmp_path / "pictures"}"', f'data.path="{tmp_path / "made"}"')
    made = open_training_store(tiny_recipe(*source, 'data.labels="folders"'), Console(quiet=True))
    assert made.manifest.label_names == ["dark", "light"]
    assert made.labels is not None
    assert made.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_generated_training_images_are_warned_of_once(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marked = Path(shutil.copytree(store.path, tmp_path / "marked"))
    manifest = store.manifest.model_copy(update={"generated": {"trainedAlgorithmicMedia": 3}})
    (marked / "manifest.json").write_bytes(manifest.as_file())
    open_training_store(tiny_recipe(), Console(quiet=True))
    assert capsys.readouterr().err == ""
    open_training_store(tiny_recipe(f'data.path="{marked}"'), Console(quiet=True))
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("warning: 3 pictures say in the metadata that a trained algorithm made them, of 10") == 1
