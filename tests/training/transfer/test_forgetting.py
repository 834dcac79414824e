"""Runs with penalties on weights: adapted to negatives near the start, then trained on positives away from that."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from dying_runs import dies_after
from quiet_runs import run
from same_run import assert_same_run, without_clock

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import RecipeError
from swincli.model.files.model_file import load_model, save_model
from swincli.recipe import Recipe
from swincli.training.loop import train
from swincli.training.losses.weight_penalties import ALPHA, FISHER, REPELLED, START, synthesis_weights
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState, build_state, read_state
from swincli.training.transfer import penalty_sources
from swincli.training.transfer.init_from import check_init, init_from_checkpoint
from swincli.training.transfer.penalty_sources import estimate_fisher, prepare_penalties

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
FEW = 8  # images of the Fisher estimate
TUNE = ("train.init_mode=fine-tune", "train.total=8", "run.tensorboard=false")


@pytest.fixture(scope="module", autouse=True)
def few_images() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(penalty_sources, "FISHER_IMAGES", FEW)
        yield


@pytest.fixture(scope="module")
def negative(
    tiny_recipe: MakeRecipe, store: Store, trained_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The model that was adapted to negatives near its start."""
    out = tmp_path_factory.mktemp("negative") / "run"
    run(tiny_recipe(*TUNE, f"train.init={trained_run}", "train.seed=1", "loss.elastic=1e3"), store, out)
    return out


@pytest.fixture
def tune(tiny_recipe: MakeRecipe, trained_run: Path, negative: Path) -> MakeRecipe:
    """The tiny recipe from the trained run, with the negative model named."""
    return lambda *keys: tiny_recipe(*TUNE, f"train.init={trained_run}", f'loss.repel_models=["{negative}"]', *keys)


def started(recipe: Recipe, store: Store, console: Console | None = None) -> TrainingState:
    state = build_state(recipe, store.content_hash, CPU)
    init_from_checkpoint(state, str(recipe.train.init), console or Console(quiet=True))
    prepare_penalties(state, store, console or Console(quiet=True))
    return state


@pytest.mark.slow
def test_a_killed_run_with_both_ends_as_an_unbroken_one_and_needs_no_sources(
    tune: MakeRecipe, store: Store, trained_run: Path, negative: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, other = (Path(shutil.copytree(each, tmp_path / each.parent.name)) for each in (trained_run, negative))
    keys = (f"train.init={start}", f'loss.repel_models=["{other}"]', "loss.elastic=1e3", "loss.repel=2")
    recipe = tune(*keys, "train.total=12")
    run(recipe, store, tmp_path / "whole")
    with dies_after(1, monkeypatch):
        run(recipe, store, tmp_path / "broken")
    shutil.rmtree(start)
    shutil.rmtree(other)
    run(recipe, store, tmp_path / "broken")
    assert_same_run(tmp_path / "broken", tmp_path / "whole")


def test_without_weight_the_models_change_no_bit(tune: MakeRecipe, store: Store, tmp_path: Path) -> None:
    """Plain fine-tuning on positives, which is the control."""
    run(tune("loss.repel=0", "loss.elastic=0"), store, tmp_path / "zero")
    run(tune("loss.repel_models=[]"), store, tmp_path / "plain")
    zero, plain = (without_clock(read_state(RunFolder(tmp_path / name).state(8))) for name in ("zero", "plain"))
    assert {key for key in zero if zero[key] != plain[key]} == {"recipe"}


def test_what_a_run_starts_with(
    tune: MakeRecipe, store: Store, negative: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tune("loss.elastic=1e3", "loss.repel=2")
    state = started(recipe, store, Console())
    values, weights = state.memory.values, synthesis_weights(state.generator)
    average = load_model(RunFolder(negative).model(8), CPU).generator.state_dict()
    d2 = torch.stack([(weight - average[name]).square().mean() for name, weight in weights.items()]).mean()
    assert state.memory.number(ALPHA) == pytest.approx(1 / float(d2), rel=1e-4)
    for name, weight in weights.items():
        assert torch.equal(values[START + name], weight)
        assert torch.equal(values[REPELLED + name], average[name])
    assert max(float(values[FISHER + name].max()) for name in weights) > 0
    assert all(torch.equal(value, values[FISHER + name]) for name, value in estimate_fisher(state, store).items())
    assert not any(weight.requires_grad for weight in weights.values())
    told = capsys.readouterr().err
    assert "loss.elastic: Fisher information of 8 images" in told
    assert "the repulsion starts at 0.736" in told  # 2 exp(-1)
    assert [each.step for each in state.ancestors][-2:] == ["fine-tune", "repel"]


def test_fisher_information_of_a_model_with_classes(tiny_recipe: MakeRecipe, labelled_store: Store) -> None:
    state = build_state(tiny_recipe("model.classes=2"), labelled_store.content_hash, CPU)
    assert all(value.isfinite().all() for value in estimate_fisher(state, labelled_store).values())


def test_another_model_at_the_same_place_is_reported(
    tune: MakeRecipe,
    store: Store,
    negative: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tmp_path / "negative.safetensors"
    shutil.copy(RunFolder(negative).model(8), model)
    recipe = tune("loss.repel=2", f'loss.repel_models=["{model}"]')
    with dies_after(1, monkeypatch):
        run(recipe, store, tmp_path / "run")
    shutil.copy(RunFolder(negative).model(0), model)
    train(recipe, store, tmp_path / "run", CPU, Console(), resume=True)
    assert "negative.safetensors has changed; the run goes on with negative.safetensors" in " ".join(
        capsys.readouterr().err.split()
    )


def refused(recipe: Recipe, store: Store) -> str:
    """The error of a start, which a rehearsal has too."""
    with pytest.raises(RecipeError) as rehearsed:
        check_init(recipe, Console(quiet=True))
    with pytest.raises(RecipeError) as error:
        started(recipe, store)
    assert str(rehearsed.value) == str(error.value)
    return f"{error.value} {error.value.hint}"


def test_models_that_cannot_be_repelled_are_refused(
    tune: MakeRecipe, tiny_recipe: MakeRecipe, store: Store, trained_run: Path, tmp_path: Path
) -> None:
    larger = build_state(tiny_recipe("model.g_width=32"), "", CPU)
    save_model(tmp_path / "larger.safetensors", larger.average, larger.recipe, 0)
    (tmp_path / "text.safetensors").write_text("no model")
    for place, reason in {
        tmp_path / "nowhere": "no such run or model",
        tmp_path / "text.safetensors": "text.safetensors",
        tmp_path / "larger.safetensors": "other networks: model.g_width is 16 here, 32 there",
        trained_run: "has the weights of train.init",
    }.items():
        message = refused(tune("loss.repel=1", f'loss.repel_models=["{place}"]'), store)
        assert message.startswith("the recipe: loss.repel_models: ")
        assert reason in message


def test_elastic_weights_need_a_discriminator(tune: MakeRecipe, store: Store, negative: Path) -> None:
    model = RunFolder(negative).model(8)
    assert "loss.elastic: " in refused(tune("loss.elastic=1", f"train.init={model}"), store)
