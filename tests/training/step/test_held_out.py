"""Logits at held-out images: in the log, without a trace in training, the same however the batch is split."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from same_run import without_clock

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store.reader import Store
from swincli.errors import DataError
from swincli.publishing.report import CURVES
from swincli.recipe import Recipe, load_recipe
from swincli.training.loop import train
from swincli.training.preflight import open_existing_store, open_training_store
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state
from swincli.training.step.batch_shards import BatchSplit
from swincli.training.step.engine import Engine
from swincli.training.step.held_out import HELD_OUT_LOGIT, TRAINED_LOGIT, HeldOutLogits, open_held_out
from swincli.training.step.phases import make_setting

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
RANDOM = ("augment.flip=true", 'augment.transforms="diffaugment"', "run.log=4", "run.tensorboard=false")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts "train" and "test" of 24 pictures as stores of 16 px images."""
    folder, random = tmp_path_factory.mktemp("split"), np.random.default_rng(3)
    (folder / "pictures").mkdir()
    for index in range(24):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"pictures/{index}.png")
    options = PrepareOptions(16, split="train:0.6,test:0.4", workers=1)
    prepare(str(folder / "pictures"), folder / "parts", options, Console(quiet=True))
    return folder / "parts"


def trained(recipe: Recipe, store: Store, out: Path) -> tuple[dict[str, object], list[dict[str, float]]]:
    """The state of a finished run, without what the recipe says, and the lines of its log."""
    train(recipe, store, out, CPU, Console(quiet=True), resume=True)
    state = without_clock(read_state(RunFolder(out).state(8)))
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    return {name: value for name, value in state.items() if name not in ("recipe", "signs")}, lines


def test_held_out_images_are_in_the_log_and_change_no_bit(tiny_recipe: MakeRecipe, parts: Path, tmp_path: Path) -> None:
    store, recipe = Store.open(parts / "train"), tiny_recipe(*RANDOM, "train.total=8")
    section = recipe.evaluate.model_copy(update={"held_out": str(parts / "test")})
    plain, _ = trained(recipe, store, tmp_path / "plain")
    state, lines = trained(recipe.model_copy(update={"evaluate": section}), store, tmp_path / "held-out")
    assert state == plain
    assert [{HELD_OUT_LOGIT, TRAINED_LOGIT} <= line.keys() for line in lines] == [True, True]
    assert lines[1]["samples/diversity"] > 0


def test_every_curve_of_the_report_can_be_reported_by_a_run(
    tiny_recipe: MakeRecipe, parts: Path, tmp_path: Path
) -> None:
    held_out = f"evaluate.held_out={json.dumps(str(parts / 'test'))}"
    recipe = tiny_recipe(*RANDOM, held_out, "augment.control=adaptive", "loss.r1_interval=1", "train.total=20")
    train(recipe, Store.open(parts / "train"), tmp_path, CPU, Console(quiet=True), resume=True)
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    drawn = {name for _, names, _, _ in CURVES for name in names}
    assert drawn - {name for line in lines for name in line} == set()


@pytest.mark.parametrize("more", [(), ("loss.adaptive_mix=1",)])
def test_ranks_and_micro_batches_give_the_mean_of_the_whole_batch(
    tiny_recipe: MakeRecipe, parts: Path, more: tuple[str, ...]
) -> None:
    recipe, store = tiny_recipe(*RANDOM, "train.batch=8", "model.std_group=2", *more), Store.open(parts / "test")
    state = build_state(recipe, "", CPU)
    setting = make_setting(state.generator, state.discriminator, recipe, Engine(), state.memory)
    before = [buffer.clone() for buffer in state.discriminator.buffers()]

    def measured(split: BatchSplit, rank: int = 0) -> float:
        logits = HeldOutLogits(store, store, setting, split, rank).measure_if_due(16)
        assert logits[HELD_OUT_LOGIT] == logits[TRAINED_LOGIT]  # of one store, at one moment
        return logits[HELD_OUT_LOGIT]

    whole, ranks = BatchSplit(8, 2), BatchSplit(8, 2, processes=2)
    assert measured(replace(whole, micro_batches=4)) == pytest.approx(measured(whole), rel=1e-5)
    assert (measured(ranks, 0) + measured(ranks, 1)) / 2 == pytest.approx(measured(whole), rel=1e-5)
    assert all(map(torch.equal, before, state.discriminator.buffers()))
    assert state.discriminator.training


def test_nothing_is_measured_between_two_lines_or_without_images(tiny_recipe: MakeRecipe, store: Store) -> None:
    recipe = tiny_recipe("run.log=8")
    state = build_state(recipe, "", CPU)
    setting = make_setting(state.generator, state.discriminator, recipe, Engine(), state.memory)
    assert HeldOutLogits(store, store, setting, BatchSplit(4), 0).measure_if_due(12) == {}
    assert HeldOutLogits(None, store, setting, BatchSplit(4), 0).measure_if_due(16) == {}


def test_a_held_out_store_that_cannot_show_overfitting_is_one_error(
    tiny_recipe: MakeRecipe, parts: Path, store: Store, labelled_store: Store, tmp_path: Path
) -> None:
    copied = shutil.copytree(parts / "train", tmp_path / "copy")
    stores = {
        parts / "train": "holds the training images of data.path",
        copied: "holds the training images of data.path",
        parts: "holds the stores test, train",
        store.path: "is not a part of a split",
        tmp_path / "none": "does not exist",
        tmp_path: "holds the stores copy",
    }
    for path, words in stores.items():
        with pytest.raises(DataError) as error:
            open_held_out(tiny_recipe(f"evaluate.held_out={json.dumps(str(path))}"), Store.open(parts / "train"))
        assert error.value.message.startswith("evaluate.held_out (--set): ")
        assert words in error.value.message
        assert error.value.hint
    larger = tiny_recipe(f"evaluate.held_out={json.dumps(str(parts / 'test'))}", "model.size=32")
    with pytest.raises(DataError, match=r"are 16 px, but model\.size is 32"):
        open_held_out(larger, Store.open(parts / "train"))
    with pytest.raises(DataError, match="are not two parts of one split"):
        open_held_out(tiny_recipe(f"evaluate.held_out={json.dumps(str(parts / 'test'))}"), store)
    classes = tiny_recipe(f"evaluate.held_out={json.dumps(str(parts / 'test'))}", "model.classes=2")
    with pytest.raises(DataError, match=r"evaluate\.held_out \(--set\): .* have no labels"):
        open_held_out(classes, labelled_store)
    assert open_held_out(tiny_recipe(), store) is None


def test_the_error_names_the_line_also_before_the_store_is_made(
    tiny_recipe_file: Path, parts: Path, tmp_path: Path
) -> None:
    made, recipe = tmp_path / "made", tmp_path / "my.toml"
    for held_out, words in ((tmp_path / "none", "does not exist"), (parts / "test", "would be made of all images")):
        recipe.write_text(
            f'extends = "{tiny_recipe_file}"\n[evaluate]\nheld_out = "{held_out}"\n'
            f'[data]\npath = "{made}"\nsource = "{parts.parent / "pictures"}"\n'
        )
        loaded = load_recipe(str(recipe))
        for check in (open_existing_store, partial(open_training_store, console=Console(quiet=True))):
            with pytest.raises(DataError, match=rf"^evaluate\.held_out \(my\.toml:3\): .*{words}") as error:
                check(loaded)
            assert "--split" in str(error.value.hint)
    assert not made.exists()
    assert loaded.model_copy() == load_recipe(str(recipe), ["train.seed=0"])  # lines do not tell recipes apart
    assert loaded.model_copy().named("data.path") == "data.path (my.toml:5)"
