"""Runs of networks with attributes: batches, grids, models, and that stopping and going on changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from attribute_stores import ATTRIBUTES, attribute_rows
from first_steps import next_step_micro_batches
from PIL import Image
from quiet_runs import run

from swincli.data.store.reader import Store
from swincli.errors import CheckpointError, DataError
from swincli.model.files.attributes import Attributes
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.recipe.attributes import columns_by_name
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.training.losses.apa import swapped
from swincli.training.preflight import check_data
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state
from swincli.training.step.labels import batch_labels, foreign_labels, labels_at, training_attributes

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
KEYS = (ATTRIBUTES, "loss.path_length=1", "loss.path_length_interval=2", "loss.bcr_real=1")


@pytest.fixture(scope="module")
def trained(tiny_recipe: MakeRecipe, attribute_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("attributes") / "run"
    run(tiny_recipe(*KEYS, "train.total=16"), attribute_store, out)
    return out


def test_a_run_moves_the_vectors_and_its_model_knows_its_attributes(trained: Path, attribute_store: Store) -> None:
    start, end = (load_model(RunFolder(trained).model(images), CPU) for images in (0, 16))
    assert end.attributes is not None
    assert attribute_store.attributes is not None
    assert set(end.attributes.each) == set(attribute_store.attributes.each)
    assert [one.name for one in end.attributes.each] == ["colour", "dark", "size", "tags"]
    for name in end.attributes.kinds:
        key = f"embedding.vectors_{name}"
        assert not torch.equal(start.generator.state_dict()[key], end.generator.state_dict()[key])
        assert key in read_state(RunFolder(trained).state(16))["discriminator"]


def test_a_model_holds_labels_that_training_images_have_together(
    trained: Path, attribute_store: Store, tiny_recipe: MakeRecipe
) -> None:
    model = load_model(RunFolder(trained).model(16), CPU)
    assert model.attributes is not None
    everything = labels_at(tiny_recipe(*KEYS).model, attribute_store, np.arange(len(attribute_store)))
    assert everything is not None
    drawn = labels_as_trained(model, range(40))
    assert drawn is not None
    for row in drawn:
        assert any(torch.allclose(row, one, atol=1e-3, equal_nan=True) for one in everything)
    assert len(drawn.nan_to_num(nan=-1).unique(dim=0)) > 10


def test_going_on_gives_the_same_bits(
    trained: Path, tiny_recipe: MakeRecipe, attribute_store: Store, tmp_path: Path
) -> None:
    for total in (8, 16):
        run(tiny_recipe(*KEYS, f"train.total={total}"), attribute_store, tmp_path / "parts")
    whole, parts = (read_state(RunFolder(path).state(16)) for path in (trained, tmp_path / "parts"))
    for part in ("generator", "discriminator", "average"):
        assert all(torch.equal(whole[part][name], parts[part][name]) for name in whole[part]), part
    pictures = [RunFolder(path).samples(16).read_bytes() for path in (trained, tmp_path / "parts")]
    assert pictures[0] == pictures[1]


def test_a_batch_has_the_attributes_of_its_images(tiny_recipe: MakeRecipe, attribute_store: Store) -> None:
    recipe = tiny_recipe(*KEYS)
    (batch,) = next_step_micro_batches(build_state(recipe, attribute_store.content_hash, CPU), attribute_store)
    assert batch.labels is not None
    assert batch.labels.dtype == torch.float32
    assert torch.equal(batch.labels[:, 0], batch.reals.mean(dim=(2, 3)).argmax(dim=1).float())
    labels = labels_at(recipe.model, attribute_store, np.array([0, 10, 23]))
    assert labels is not None
    raw = attribute_rows(24)[[0, 10, 23]]
    expected = np.stack([raw[:, 1], raw[:, 2], (raw[:, 0] - 10) / 20, raw[:, 3], raw[:, 4]], axis=1)
    np.testing.assert_allclose(labels.numpy(), expected, atol=1e-6)
    first, second = (batch_labels(recipe.model, attribute_store, np.arange(4), 0, seen) for seen in (0, 4))
    assert first.shape == (3, 4, 5)
    assert not torch.equal(first[1], second[1])


def test_a_recipe_may_use_some_of_the_attributes(tiny_recipe: MakeRecipe, attribute_store: Store) -> None:
    recipe = tiny_recipe("model.attributes={tags = 'several:2', dark = 'flag'}")
    labels = labels_at(recipe.model, attribute_store, np.arange(4))
    assert labels is not None
    assert torch.equal(labels, torch.from_numpy(attribute_rows(24)[:4][:, [2, 3, 4]]))


def test_rows_of_the_grids_have_equal_labels(trained: Path) -> None:
    with Image.open(trained / "reals.png") as picture:
        reals = np.asarray(picture).astype(int)
    assert reals.shape == (32, 32, 3)
    for row in (reals[:16], reals[16:]):
        left, right = (part.mean(axis=(0, 1)).argmax() for part in (row[:, :16], row[:, 16:]))
        assert left == right


def test_rare_values_are_among_the_labels_that_a_model_keeps(
    tiny_recipe: MakeRecipe, attribute_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swincli.training.step.labels.MOST_ROWS", 1)
    kept = training_attributes(tiny_recipe(*KEYS).model, attribute_store)
    assert kept is not None
    assert kept.rows[:, 0].unique().tolist() == [0, 1, 2]
    assert kept.rows[:, 3:].amax(dim=0).tolist() == [1, 1]


def test_foreign_labels_differ_in_one_attribute(tiny_recipe: MakeRecipe, attribute_store: Store) -> None:
    recipe = tiny_recipe(ATTRIBUTES, "loss.matching=0.5", "train.batch=8")
    own = batch_labels(recipe.model, attribute_store, np.arange(16, 24), 0, 0)
    own[0, 3] = own[0, 4]  # nothing to tell apart
    foreign = foreign_labels(recipe.model, own, 0, 0)
    assert foreign[0, 4].isnan().all()
    places, changed = columns_by_name(recipe.model.attribute_kinds), set()
    for row, image in product(range(3), range(8)):
        mine, before, wrong = own[row, image], own[row, image - 1], foreign[row, image]
        if wrong.isnan().all():
            continue
        (name,) = [each for each, place in places.items() if not _same(mine[place], wrong[place])]
        assert _same(wrong[places[name]], before[places[name]])
        assert (wrong[places[name]] - mine[places[name]]).abs().max() > 0.1
        changed.add(name)
    assert changed == set(places)
    assert not torch.equal(foreign.nan_to_num(), foreign_labels(recipe.model, own, 0, 8).nan_to_num())


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.nan_to_num(nan=-1), other.nan_to_num(nan=-1))


def test_with_matching_going_on_gives_the_same_bits(
    tiny_recipe: MakeRecipe, attribute_store: Store, tmp_path: Path
) -> None:
    for name, totals in (("whole", (16,)), ("parts", (8, 16))):
        for total in totals:
            run(tiny_recipe(ATTRIBUTES, "loss.matching=0.5", f"train.total={total}"), attribute_store, tmp_path / name)
    whole, parts = (read_state(RunFolder(tmp_path / name).state(16)) for name in ("whole", "parts"))
    assert all(torch.equal(whole["discriminator"][name], one) for name, one in parts["discriminator"].items())
    assert "loss/matching_d" in (tmp_path / "whole" / "stats.jsonl").read_text()


def test_swapped_images_bring_their_attributes(tiny_recipe: MakeRecipe, attribute_store: Store) -> None:
    recipe = tiny_recipe(ATTRIBUTES, "augment.apa=true", "augment.p=0.5", "augment.transforms=none")
    (batch,) = next_step_micro_batches(build_state(recipe, attribute_store.content_hash, CPU), attribute_store)
    _, labels = swapped(lambda z, _: torch.zeros(len(z), 3, 16, 16), batch, 0.5)
    assert labels is not None
    assert batch.labels is not None
    assert batch.g_labels is not None
    chosen = batch.draws["apa"] < 0.5
    expected = torch.where(chosen[:, None], batch.g_labels, batch.labels)
    assert torch.equal(labels.nan_to_num(nan=-1), expected.nan_to_num(nan=-1))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("{hair = 3}", "model.attributes has hair = 3, but in the store there is none"),
        ("{colour = 4}", "model.attributes has colour = 4, but in the store it is colour = 3"),
        ("{size = 'flag'}", 'model.attributes has size = "flag", but in the store it is size = "number"'),
    ],
)
def test_stores_that_do_not_fit_name_all_that_they_have(
    table: str, problem: str, tiny_recipe: MakeRecipe, attribute_store: Store
) -> None:
    with pytest.raises(DataError) as caught:
        check_data(tiny_recipe(f"model.attributes={table}"), attribute_store)
    assert problem in caught.value.message
    all_of_it = 'attributes = { colour = 3, dark = "flag", size = "number", tags = "several:2" }'
    assert caught.value.hint == f"All of the store: {all_of_it}"


def test_a_store_without_attributes_is_refused(tiny_recipe: MakeRecipe, labelled_store: Store) -> None:
    with pytest.raises(DataError, match="its images have no attributes"):
        check_data(tiny_recipe(ATTRIBUTES), labelled_store)


def test_a_model_with_damaged_attributes_is_refused(trained: Path, tmp_path: Path) -> None:
    path, copy = RunFolder(trained).model(16), tmp_path / "copy.safetensors"
    copy.write_bytes(path.read_bytes().replace(b"base64", b"base63"))
    with pytest.raises(CheckpointError, match="metadata is damaged"):
        load_model(copy, CPU)
    with pytest.raises(ValueError, match="must have 1 columns"):
        Attributes.from_dict(
            {
                "each": [{"name": "a", "kind": "flag", "missing": 0}],
                "rows": {"dtype": "<f2", "count": 1, "base64": "AAAAAA=="},
            }
        )
