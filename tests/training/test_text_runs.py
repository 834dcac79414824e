"""Runs of networks with texts: captions of a step, foreign texts, models; stopping and going on changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from first_steps import next_step_micro_batches
from quiet_runs import run
from text_stores import TEXTS, WORDS, text_store

from swincli.data.store.reader import Store
from swincli.errors import DataError
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.training.preflight import check_data
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state
from swincli.training.step.labels import batch_images, labels_of, with_foreign
from swincli.training.step.texts import foreign_texts, varied

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
KEYS = (TEXTS, "loss.matching=0.5")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return text_store(tmp_path_factory.mktemp("stores") / "texts")


@pytest.fixture(scope="module")
def trained(tiny_recipe: MakeRecipe, texts: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("texts") / "run"
    run(tiny_recipe(*KEYS, "train.total=16"), texts, out)
    return out


def test_a_model_knows_its_captions(trained: Path, texts: Store) -> None:
    model = load_model(RunFolder(trained).model(16), CPU)
    assert model.attributes is not None
    known = model.attributes.texts
    assert known is not None
    assert texts.captions is not None
    assert set(known.texts) == set(texts.captions.texts)
    for place, text in enumerate(texts.captions.texts):  # bit for bit
        np.testing.assert_array_equal(known.find(text), texts.captions.columns(np.array([place]))[0])
    assert known.find("a purple square") is None
    drawn = labels_as_trained(model, range(60))
    assert drawn is not None
    assert len(drawn.unique(dim=0)) == 9  # three colours with each side, and without one


def test_going_on_gives_the_same_bits(trained: Path, tiny_recipe: MakeRecipe, texts: Store, tmp_path: Path) -> None:
    for total in (8, 16):
        run(tiny_recipe(*KEYS, f"train.total={total}"), texts, tmp_path / "parts")
    whole, parts = (read_state(RunFolder(path).state(16)) for path in (trained, tmp_path / "parts"))
    for part in ("generator", "discriminator", "average"):
        assert all(torch.equal(whole[part][name], parts[part][name]) for name in whole[part]), part


def test_both_captions_of_an_image_are_shown(tiny_recipe: MakeRecipe, texts: Store) -> None:
    recipe = tiny_recipe(TEXTS, "augment.text_noise=0", "augment.text_drop=0")
    captions = texts.captions
    assert captions is not None
    vectors, seen = captions.columns(slice(None)), set()
    for step in range(6):
        images = batch_images(texts, np.arange(4), 0, 4 * step)
        own, foreign = with_foreign(recipe, texts, labels_of(recipe.model, texts, images), images, 4 * step)
        assert foreign is None
        for image, vector in zip(images.flatten(), own.flatten(0, 1), strict=True):
            (place,) = np.flatnonzero((vectors == vector.numpy()).all(axis=1))
            assert captions.texts[place] in captions.of(int(image))
            seen.add(captions.of(int(image)).index(captions.texts[place]))
    assert seen == {0, 1}


def test_foreign_texts_are_of_other_images_and_say_something_else() -> None:
    texts = torch.nn.functional.normalize(torch.tensor([[[1.0, 0], [0, 1], [0.1, 1], [1, 0.5]]]), dim=2)
    images = np.array([[0, 1, 2, 0]])
    foreign = foreign_texts(texts.expand(3, -1, -1), images.repeat(3, axis=0))
    assert foreign[0, :, 0].isnan().tolist() == [True, False, True, False]  # same image; -; nearly the same text; -
    assert torch.equal(foreign[1, 1], texts[0, 0])


def test_noise_keeps_the_length_and_some_texts_are_left_out(tiny_recipe: MakeRecipe) -> None:
    section = tiny_recipe(TEXTS, "augment.text_noise=0.2", "augment.text_drop=0.25").augment
    texts = torch.nn.functional.normalize(torch.ones(3, 200, 384), dim=2)
    changed = varied(texts, section, 0, "texts", 0)
    assert torch.equal(changed.nan_to_num(nan=9), varied(texts, section, 0, "texts", 0).nan_to_num(nan=9))
    known = changed[~changed[..., 0].isnan()]
    assert 0.2 < 1 - len(known) / 600 < 0.3
    torch.testing.assert_close(known.norm(dim=1), torch.ones(len(known)))
    assert 0.96 < (known @ texts[0, 0]).mean() < 0.995  # 1 / sqrt(1 + 0.2²) = 0.981


def test_a_split_batch_has_the_same_texts(tiny_recipe: MakeRecipe, texts: Store) -> None:
    whole, halves = (
        next_step_micro_batches(build_state(tiny_recipe(*KEYS, *keys), texts.content_hash, CPU), texts)
        for keys in ([], ["run.micro_batch=2", "model.std_group=2"])
    )
    assert len(whole) < len(halves)
    for name in ("labels", "g_labels", "foreign"):
        of_whole = getattr(whole[0], name)
        of_halves = torch.cat([getattr(part, name) for part in halves])
        assert sorted(map(str, of_whole.tolist())) == sorted(map(str, of_halves.tolist())), name


@pytest.mark.parametrize("variation", [("0", "0"), ("0.15", "0.5")])
def test_paired_logits_have_one_text_for_a_pair(
    tiny_recipe: MakeRecipe, texts: Store, variation: tuple[str, str]
) -> None:
    noise, drop = variation
    recipe = tiny_recipe(
        TEXTS, "loss.adversarial=relativistic", f"augment.text_noise={noise}", f"augment.text_drop={drop}"
    )
    (batch,) = next_step_micro_batches(build_state(recipe, texts.content_hash, CPU), texts)
    assert batch.labels is not None
    assert batch.d_labels is not None
    torch.testing.assert_close(batch.labels, batch.d_labels, rtol=0, atol=0, equal_nan=True)


def test_what_does_not_fit_is_said(tiny_recipe: MakeRecipe, texts: Store, store: Store) -> None:
    with pytest.raises(DataError, match="its images have no attributes"):
        check_data(tiny_recipe(TEXTS), store)
    with pytest.raises(DataError, match=f'caption = "text:384", but in the store it is caption = "text:{len(WORDS)}"'):
        check_data(tiny_recipe("model.attributes={caption = 'text:384'}"), texts)
