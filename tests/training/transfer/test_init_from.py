"""Runs that start from a checkpoint."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from quiet_runs import run
from release_skeleton import released_checkpoint

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import CheckpointError, RecipeError
from swincli.model.files.model_file import read_snapshot, save_model, save_snapshot
from swincli.model.files.official import discriminator_names, generator_names
from swincli.model.files.snapshot import Snapshot
from swincli.model.generator import Generator
from swincli.recipe import Recipe, dump_recipe
from swincli.training import loop
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState, build_state, read_state, save_state
from swincli.training.schedules import lr_scale
from swincli.training.step.optimizers import load_moments
from swincli.training.transfer.init_from import check_init, init_from_checkpoint

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
LONGER = ("train.total=32", "train.decay_from=16", "run.keep=9", "run.log=4")
RANGE = ("model.pixel_mean=[0.485, 0.456, 0.406]", "model.pixel_std=[0.229, 0.224, 0.225]")


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A released checkpoint of the tiny recipe's networks after two steps of four images, called step 5."""
    path = tmp_path / "000005.pt"
    torch.save(released_checkpoint([16, 16, 16], [8, 8, 8]), path)
    return path


@pytest.fixture
def recipe(tiny_recipe: MakeRecipe, original: Path) -> MakeRecipe:
    """The tiny recipe, starting from that checkpoint."""
    return lambda *overrides: tiny_recipe("model.mapping_layers=8", *RANGE, f"train.init={original}", *overrides)


def started(recipe: Recipe) -> TrainingState:
    state = build_state(recipe, "hash", CPU)
    assert recipe.train.init is not None
    init_from_checkpoint(state, recipe.train.init, Console(quiet=True))
    return state


def test_everything_is_taken_over(recipe: MakeRecipe, original: Path) -> None:
    content = torch.load(original, weights_only=False)
    for factor, part in enumerate(("g_ema", "g", "d"), start=2):
        for value in content[part].values():
            value.mul_(factor)  # three networks that differ
    original.unlink()
    torch.save(content, original)
    settings = recipe()
    state = started(settings)
    assert state.images_seen == 5 * 4
    g_names, d_names = generator_names(settings.model), discriminator_names(settings.model)
    for network, names, part in (
        (state.average, g_names, "g_ema"),
        (state.generator, g_names, "g"),
        (state.discriminator, d_names, "d"),
    ):
        for name, value in network.state_dict().items():
            assert torch.equal(value, content[part][names[name]]), name
    numbers = {key: number for number, key in enumerate(key for key in content["g"] if key in g_names.values())}
    moments: dict[str, Any] = content["g_optim"]["state"]
    for name, parameter in state.generator.named_parameters():
        found, expected = state.g_optimizer.state[parameter], moments[numbers[g_names[name]]]
        assert all(torch.equal(found[kind], expected[kind]) for kind in ("exp_avg", "exp_avg_sq", "step")), name
    assert len(state.d_optimizer.state) == len(list(state.discriminator.parameters()))
    assert state.g_optimizer.param_groups[0]["lr"] == settings.train.g_lr  # the recipe's, not the checkpoint's


def test_training_goes_on_where_the_checkpoint_stood_and_needs_it_only_to_start(
    recipe: MakeRecipe, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = recipe(*LONGER)
    out = tmp_path / "run"
    train(settings, store, out, CPU, Console(), resume=True)
    assert "trained on 20 images" in capsys.readouterr().err
    assert sorted(path.name for path in out.glob("*.pt")) == [f"state-{seen:012d}.pt" for seen in (20, 24, 32)]
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in lines] == [24, 28, 32]
    assert lines[0]["g_lr"] == pytest.approx(settings.train.g_lr * lr_scale(20, settings.train))
    assert lr_scale(20, settings.train) == 0.75
    steps = [entry["step"].item() for entry in read_state(RunFolder(out).state(32))["g_optimizer"]["state"].values()]
    assert set(steps) == {2 + 3}
    stop_and_go_on_without_the_checkpoint(settings, store, tmp_path / "broken")
    one, two = (read_state(RunFolder(folder).state(32)) for folder in (out, tmp_path / "broken"))
    for part in ("generator", "discriminator", "average"):
        assert all(torch.equal(one[part][name], two[part][name]) for name in one[part])


def stop_and_go_on_without_the_checkpoint(settings: Recipe, store: Store, out: Path) -> None:
    step, done = loop.run_step, 0

    def dying(*arguments: Any) -> object:
        nonlocal done
        done += 1
        if done == 2:
            raise KeyboardInterrupt
        return step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "run_step", dying)
        with pytest.raises(KeyboardInterrupt):
            run(settings, store, out)
    Path(str(settings.train.init)).unlink()
    run(settings, store, out)


def test_another_checkpoint_makes_another_run(recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    folder, state = RunFolder(tmp_path / "run"), build_state(recipe(), store.content_hash, CPU)
    folder.prepare(recipe())
    save_state(folder.state(20), state)
    with pytest.raises(RecipeError, match=r"train\.init"):
        run(recipe("train.init=other.pt"), store, tmp_path / "run")


def test_a_converted_model_starts_the_same_run(recipe: MakeRecipe, original: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    save_snapshot(model, read_snapshot(original))
    one, two = started(recipe()), started(recipe(f"train.init={model}"))
    assert one.images_seen == two.images_seen
    for part in ("generator", "discriminator", "average"):
        other = getattr(two, part).state_dict()
        assert all(torch.equal(value, other[name]) for name, value in getattr(one, part).state_dict().items())
    for optimizer in ("g_optimizer", "d_optimizer"):
        pairs = (getattr(state, optimizer).state_dict()["state"] for state in (one, two))
        for mine, theirs in zip(*(pair.values() for pair in pairs), strict=True):
            assert all(torch.equal(mine[kind], theirs[kind]) for kind in mine)


def test_an_average_alone_gives_both_gs_and_the_rest_starts_anew(
    tiny_recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build_state(tiny_recipe("train.seed=9"), "hash", CPU)
    save_model(tmp_path / "runs" / "model-000000000008.safetensors", first.generator, first.recipe, 8)
    state = build_state(tiny_recipe(f"train.init={tmp_path / 'runs'}"), "hash", CPU)
    untouched = {name: value.clone() for name, value in state.discriminator.state_dict().items()}
    init_from_checkpoint(state, str(tmp_path / "runs"), Console())
    assert "has no D, G's moments, D's moments: training starts with new ones" in capsys.readouterr().err
    assert state.images_seen == 8
    assert not state.g_optimizer.state
    for network in (state.generator, state.average):
        assert all(
            torch.equal(value, first.generator.state_dict()[name]) for name, value in network.state_dict().items()
        )
    assert all(torch.equal(value, untouched[name]) for name, value in state.discriminator.state_dict().items())


def test_networks_of_another_shape_are_refused_with_every_key(tiny_recipe: MakeRecipe, original: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        started(tiny_recipe(f"train.init={original}", "model.d_width=4", "model.adain_gamma=1"))
    assert caught.value.problems == [
        f"model.mapping_layers: 2 here, 8 in {original}",
        f"model.d_width: 4 here, 8 in {original}",
        f"model.pixel_mean: [0.5, 0.5, 0.5] here, [0.485, 0.456, 0.406] in {original}",
        f"model.pixel_std: [0.5, 0.5, 0.5] here, [0.229, 0.224, 0.225] in {original}",
    ]
    assert caught.value.hint is not None
    assert "--set 'model.pixel_mean=[0.485, 0.456, 0.406]'" in caught.value.hint


def test_the_hint_is_a_command_line_that_helps(tiny_recipe: MakeRecipe, original: Path) -> None:
    import shlex

    with pytest.raises(RecipeError) as caught:
        started(tiny_recipe(f"train.init={original}", "model.g_channels=[16, 16, 8]"))
    assert caught.value.hint is not None
    overrides = [word for word in shlex.split(caught.value.hint) if "=" in word]
    assert started(tiny_recipe(f"train.init={original}", *overrides)).images_seen == 20


def test_nothing_left_to_train_is_refused(recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.total: is 20 images, but .* has seen 20"):
        run(recipe("train.total=20"), store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_checkpoint_is_named(recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pt: no such run or model"):
        run(recipe("train.init=nowhere.pt"), store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_moments_of_other_shapes_are_refused(recipe: MakeRecipe, original: Path) -> None:
    state, snapshot = build_state(recipe(), "hash", CPU), read_snapshot(original)
    assert isinstance(snapshot, Snapshot)
    assert snapshot.g_optimizer is not None
    snapshot.g_optimizer.moments["constant"]["exp_avg"] = torch.zeros(3)
    with pytest.raises(ValueError, match="the moments of constant have shapes"):
        load_moments(state.g_optimizer, state.generator, snapshot.g_optimizer)


def test_a_number_of_steps_may_be_a_tensor_of_one_element(recipe: MakeRecipe, original: Path) -> None:
    content = torch.load(original, weights_only=False)
    for part in ("g_optim", "d_optim"):
        for entry in content[part]["state"].values():
            entry["step"] = torch.tensor([float(entry["step"])])
    expected = started(recipe())
    torch.save(content, original)
    state = started(recipe())
    for optimizer, other in ((state.g_optimizer, expected.g_optimizer), (state.d_optimizer, expected.d_optimizer)):
        steps, others = ([entry["step"] for entry in each.state.values()] for each in (optimizer, other))
        assert steps == others
        assert all(step.shape == () for step in steps)


def test_init_is_written_to_the_run(recipe: MakeRecipe, original: Path) -> None:
    assert f'init = "{original}"' in dump_recipe(recipe())


@pytest.mark.parametrize(
    ("now", "then"),
    [("dw7", "double"), ("double", "dw7"), ('{"8" = "single", "16" = "dw7"}', '{"8" = "single", "16" = "pool"}')],
)
def test_a_checkpoint_with_other_mixers_is_refused(
    tiny_recipe: MakeRecipe, tmp_path: Path, now: str, then: str
) -> None:
    """And the hint's settings are those of the checkpoint."""
    path, before = tmp_path / "model.safetensors", tiny_recipe(f"model.mixer={then}")
    save_model(path, Generator(before.model), before, 8)
    with pytest.raises(RecipeError, match=r"model\.mixer: .* here, .* in .*model\.safetensors") as caught:
        check_init(tiny_recipe(f"train.init={path}", f"model.mixer={now}"), Console(quiet=True))
    words = shlex.split((caught.value.hint or "").split(": ", 1)[1].split(";")[0])
    settings = [word for word in words if word != "--set"]
    check_init(tiny_recipe(f"train.init={path}", f"model.mixer={now}", *settings), Console(quiet=True))


@pytest.mark.parametrize("part", ["generator", "discriminator", "average"])
def test_weights_that_are_not_finite_are_no_start(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, part: str
) -> None:
    broken = build_state(tiny_recipe(), store.content_hash, CPU)
    next(getattr(broken, part).parameters()).view(-1)[0] = float("nan")
    path = tmp_path / "state.pt"
    save_state(path, broken)
    state = build_state(tiny_recipe(f"train.init={path}"), store.content_hash, CPU)
    with pytest.raises(CheckpointError, match=r"state\.pt: the weights of .* are not finite"):
        init_from_checkpoint(state, str(path), Console(quiet=True))
