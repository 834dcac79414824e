"""Runs of conditional networks: data, grids, models, metrics, and that stopping and going on changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from first_steps import next_step_micro_batches
from PIL import Image
from plain_losses import plain_losses
from quiet_runs import run
from scripted_networks import MeanColours, save_script
from torch import nn

from swincli.data.store.reader import Store
from swincli.errors import DataError
from swincli.model.files.classes import Classes
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.recipe.schema import LossSection
from swincli.training import in_training_metrics, loop
from swincli.training.augment.bcr import draw_bcr_params
from swincli.training.logging.sample_grids import images_by_row
from swincli.training.losses.batch import Batch
from swincli.training.preflight import check_data
from swincli.training.rng import derive
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state
from swincli.training.step.labels import batch_labels

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
KEYS = ("model.classes=2", "loss.bcr_real=1", "loss.bcr_fake=1", "augment.flip=true")


@pytest.fixture(scope="module")
def conditional(tiny_recipe: MakeRecipe, labelled_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("conditional") / "run"
    run(tiny_recipe(*KEYS), labelled_store, out)
    return out


def test_a_run_moves_the_embeddings_and_its_model_knows_its_classes(conditional: Path) -> None:
    start, end = (load_model(RunFolder(conditional).model(images), CPU) for images in (0, 24))
    assert end.classes == Classes(("blue", "red"), (8, 4))
    before, after = (dict(model.generator.state_dict()) for model in (start, end))
    moved = [name for name in after if not torch.equal(before[name], after[name])]
    assert "embedding.linear.weight" in moved
    assert len(moved) > 0.9 * len(after)
    state = read_state(RunFolder(conditional).state(24))
    assert "embedding.linear.weight" in state["discriminator"]


def test_a_model_carries_the_mean_w_of_every_class(conditional: Path) -> None:
    model = load_model(RunFolder(conditional).model(24), CPU)
    assert model.w_mean_by_class is not None
    z = torch.randn(5000, 16, generator=torch.Generator().manual_seed(0))
    for label in range(2):
        expected = model.generator.map(z, torch.full((5000,), label)).mean(dim=0)
        torch.testing.assert_close(model.w_mean_by_class[label], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.w_mean, model.w_mean_by_class.mean(dim=0))


@pytest.mark.parametrize("stop_after", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_stopping_and_going_on_gives_the_same_bits(
    conditional: Path,
    tiny_recipe: MakeRecipe,
    labelled_store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: int,
) -> None:
    original, done = loop.run_step, 0

    def step(*arguments: object) -> object:
        nonlocal done
        done += 1
        if done > stop_after:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_step", step)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_recipe(*KEYS), labelled_store, tmp_path / "broken")
    run(tiny_recipe(*KEYS), labelled_store, tmp_path / "broken")
    whole, broken = (read_state(RunFolder(path).state(24)) for path in (conditional, tmp_path / "broken"))
    for part in ("generator", "discriminator", "average"):
        assert whole[part].keys() == broken[part].keys()
        assert all(torch.equal(whole[part][name], broken[part][name]) for name in whole[part]), part
    pictures = [RunFolder(path).samples(24).read_bytes() for path in (conditional, tmp_path / "broken")]
    assert pictures[0] == pictures[1]


def test_a_batch_has_the_labels_of_its_images_and_as_many_of_each_for_latents(
    tiny_recipe: MakeRecipe, labelled_store: Store
) -> None:
    recipe = tiny_recipe(*KEYS, "augment.flip=false")
    state = build_state(recipe, labelled_store.content_hash, CPU)
    state.images_seen = 8
    (batch,), (again,) = (next_step_micro_batches(state, labelled_store) for _ in range(2))
    assert batch.labels is not None
    assert batch.d_labels is not None
    reds = batch.reals[:, 0].mean(dim=(1, 2)) > batch.reals[:, 2].mean(dim=(1, 2))
    assert torch.equal(batch.labels == 1, reds)
    assert again.d_labels is not None
    assert torch.equal(batch.d_labels, again.d_labels)
    drawn = torch.stack(
        [batch_labels(recipe.model, labelled_store, np.arange(4), 0, seen)[1:] for seen in range(0, 2000, 4)]
    )
    assert drawn.double().mean(dim=(0, 2)).tolist() == pytest.approx([1 / 3, 1 / 3], abs=0.06)
    assert not torch.equal(drawn[:, 0], drawn[:, 1])


class Told(nn.Module):
    """A network that notes what it is given."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.output, self.labels = output, list[list[int]]()

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.labels.append(labels.tolist())
        return self.output + self.weight * x.flatten(1).sum(dim=1).view(-1, *[1] * (self.output.ndim - 1))


def test_every_forward_is_told_the_labels_of_what_it_sees() -> None:
    images, z = torch.zeros(2, 3, 4, 4), torch.zeros(2, 8)
    reals, fakes, latents = torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([4, 5])
    draws = draw_bcr_params(2, 4, derive(0, "augment"))
    batch = Batch(images, z, z, 0, draws, draws, reals, fakes, latents)
    generator, discriminator = Told(images), Told(torch.zeros(2, 1))
    losses = plain_losses(generator, discriminator, LossSection(bcr_real=1.0, bcr_fake=1.0))
    losses.d_loss(batch)
    assert (generator.labels, discriminator.labels) == ([[2, 3]], [[2, 3], [0, 1], [0, 1], [2, 3]])
    losses.d_penalties(batch)
    losses.g_loss(batch)
    assert (generator.labels[1:], discriminator.labels[4:]) == ([[4, 5]], [[0, 1], [4, 5]])


def test_rows_of_the_grids_are_by_class(conditional: Path, labelled_store: Store) -> None:
    with Image.open(conditional / "reals.png") as picture:
        reals = np.asarray(picture).astype(int)
    assert reals.shape == (32, 32, 3)
    assert (reals[:16, :, 2] > reals[:16, :, 0]).all()  # blue above red
    assert (reals[16:, :, 0] > reals[16:, :, 2]).all()
    chosen = images_by_row(labelled_store, 0, [0, 1, 1], 3)
    assert [len(row) for row in chosen] == [3, 3, 1]
    assert labelled_store.labels is not None
    assert [set(labelled_store.labels[row].tolist()) for row in chosen] == [{0}, {1}, {1}]
    assert not set(chosen[1]) & set(chosen[2])


def test_stores_that_do_not_fit(tiny_recipe: MakeRecipe, store: Store, labelled_store: Store) -> None:
    with pytest.raises(DataError) as caught:
        check_data(tiny_recipe("model.classes=2"), store)
    assert caught.value.message == f"{store.path}: its images have no labels, but model.classes is 2"
    assert caught.value.hint is not None
    with pytest.raises(DataError) as caught:
        check_data(tiny_recipe("model.classes=5"), labelled_store)
    assert caught.value.message == f"{labelled_store.path}: its labels have 2 classes, but model.classes is 5"
    check_data(tiny_recipe(), labelled_store)


def test_labels_of_a_store_do_not_disturb_unconditional_training(
    tiny_recipe: MakeRecipe, labelled_store: Store
) -> None:
    (batch,) = next_step_micro_batches(build_state(tiny_recipe(), labelled_store.content_hash, CPU), labelled_store)
    assert (batch.labels, batch.d_labels, batch.g_labels) == (None, None, None)


def test_a_conditional_run_is_measured(
    tiny_recipe: MakeRecipe, labelled_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = save_script(MeanColours(), tmp_path / "colours.pt")
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    find = in_training_metrics.find_detector_weights
    monkeypatch.setattr(in_training_metrics, "find_detector_weights", lambda _, console: find(script, console))
    run(tiny_recipe(*KEYS, "evaluate.every=24", "evaluate.num=8"), labelled_store, tmp_path / "run")
    [line] = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert line["metrics"]["fid"] > 0
    assert line["protocol"]["fakes"]["classes"] == "drawn as in the training images"
