"""Runs that start from another run: going on with all of it, fine-tuning it, and with layers of D frozen."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_backbone import NoFile, install_tiny_backbone

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import CheckpointError, RecipeError
from swincli.metrics.protocol import NetworkRecord
from swincli.metrics.streams.images import model_record
from swincli.model.files.model_file import load_model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import (
    TrainingState,
    build_state,
    is_state,
    read_state,
    restore,
    save_state,
    state_content,
)
from swincli.training.step.freeze_d import frozen_parameters
from swincli.training.transfer.checkpoint_sources import read_init_checkpoint
from swincli.training.transfer.init_from import check_init, init_from_checkpoint

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
POWER = ("ema.power=[0.05, 0.1]", "ema.power_every=8")
FINE_TUNE = "train.init_mode=fine-tune"


def run(recipe: Recipe, store: Store, out: Path) -> dict[str, Any]:
    """Train, and return the last state."""
    train(recipe, store, out, CPU, Console(quiet=True), resume=True)
    return read_state(RunFolder(out).states()[0])


def started(recipe: Recipe, console: Console | None = None) -> TrainingState:
    state = build_state(recipe, "hash", CPU)
    assert recipe.train.init is not None
    init_from_checkpoint(state, recipe.train.init, console or Console(quiet=True))
    return state


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture(scope="module")
def whole_and_parent(
    tiny_recipe: MakeRecipe, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """The last state of an unbroken run of 24 images, and a run of its first 16, with states after 8 and 16."""
    folder = tmp_path_factory.mktemp("parent")
    run(tiny_recipe(*POWER, "train.total=16"), store, folder / "parent")
    shutil.copytree(folder / "parent", folder / "whole")
    return run(tiny_recipe(*POWER), store, folder / "whole"), folder / "parent"


@pytest.fixture
def parent(whole_and_parent: tuple[dict[str, Any], Path], tmp_path: Path) -> Path:
    """A copy of the run of 16 images."""
    return Path(shutil.copytree(whole_and_parent[1], tmp_path / "parent"))


@pytest.fixture
def only_average(tiny_recipe: MakeRecipe, tmp_path: Path) -> Path:
    """A model file, which holds no D."""
    state = build_state(tiny_recipe("train.seed=9"), "hash", CPU)
    save_model(tmp_path / "model.safetensors", state.average, state.recipe, 8)
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("place", ["parent", "parent/state-000000000016.pt"])
def test_going_on_in_a_new_run_loses_nothing(
    tiny_recipe: MakeRecipe,
    store: Store,
    tmp_path: Path,
    whole_and_parent: tuple[dict[str, Any], Path],
    parent: Path,
    place: str,
) -> None:
    whole, _ = whole_and_parent
    child = run(tiny_recipe(*POWER, f"train.init={tmp_path / place}"), store, tmp_path / "child")
    assert parent.is_dir()
    assert child["images_seen"] == 24
    for part in ("generator", "discriminator", "average"):
        assert_equal(whole[part], child[part])
    for one, other in zip(whole["power"], child["power"], strict=True):
        assert_equal(one, other)
    for part in ("g_optimizer", "d_optimizer"):
        assert whole[part]["state"].keys() == child[part]["state"].keys()
        for number, moments in whole[part]["state"].items():
            assert_equal(moments, child[part]["state"][number])


@pytest.mark.parametrize(
    "switches",
    [
        ("augment.transforms=ada", "augment.control=adaptive", "augment.p=0.4", "augment.speed=100"),
        ("augment.transforms=diffaugment", "loss.augself_d=1", "loss.augself_g=0.2"),
    ],
)
def test_what_losses_remember_and_their_heads_in_d_go_along(
    tiny_recipe: MakeRecipe, tmp_path: Path, switches: tuple[str, ...]
) -> None:
    saved, path = build_state(tiny_recipe(*switches, "train.seed=9"), "hash", CPU), tmp_path / "state.pt"
    saved.images_seen = 8
    for value in saved.memory.values.values():
        value.fill_(0.7)
    save_state(path, saved)
    state = started(tiny_recipe(*switches, f"train.init={path}"))
    assert_equal(state.memory.values, saved.memory.values)
    assert_equal(state.discriminator.state_dict(), saved.discriminator.state_dict())
    tuned = started(tiny_recipe(*switches, f"train.init={path}", "train.init_mode=fine-tune"))
    assert tuned.memory.values.get("augment/p", 0.4) == 0.4  # with images counted from 0, it starts anew


def test_heads_that_a_checkpoint_has_not_start_untrained(
    tiny_recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state.pt"
    save_state(path, build_state(tiny_recipe(), "hash", CPU))
    recipe = tiny_recipe("augment.transforms=diffaugment", "loss.augself_d=1", f"train.init={path}")
    state = started(recipe, Console())
    assert f"not in {path}: D's augself start untrained" in capsys.readouterr().err
    assert "augself.color.bias" in state.discriminator.state_dict()


def test_new_widths_start_from_the_average(tiny_recipe: MakeRecipe, parent: Path) -> None:
    state = started(tiny_recipe("ema.power=[0.05, 0.2]", f"train.init={parent}"))
    content = read_state(RunFolder(parent).state(16))
    assert_equal(dict(state.power[0].state_dict()), content["power"][0])
    assert_equal(dict(state.power[1].state_dict()), content["average"])


def test_the_newest_good_state_is_taken(
    tiny_recipe: MakeRecipe, parent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(parent)
    folder.state(16).write_bytes(folder.state(16).read_bytes()[:-1000])
    assert started(tiny_recipe(f"train.init={parent}"), Console()).images_seen == 8
    said = capsys.readouterr().err
    assert "state-000000000016.pt: damaged" in said
    assert f"starting from {folder.state(8)}, trained on 8 images" in said
    folder.state(8).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="none of the 2 training states can be read"):
        started(tiny_recipe(f"train.init={parent}"))


@pytest.mark.parametrize("named", ["run", "state"])
def test_a_byte_that_changed_on_the_disk_is_noticed(
    named: str, tiny_recipe: MakeRecipe, parent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = RunFolder(parent).state(16)
    with zipfile.ZipFile(newest) as archive:
        tensors = [entry for entry in archive.infolist() if "/data/" in entry.filename]
        largest = max(tensors, key=lambda entry: entry.file_size)
    content = bytearray(newest.read_bytes())
    content[largest.header_offset + largest.file_size // 2] ^= 1
    newest.write_bytes(content)
    read_state(newest)  # PyTorch does not notice
    if named == "run":
        assert started(tiny_recipe(f"train.init={parent}"), Console()).images_seen == 8
        assert "trying the previous state" in capsys.readouterr().err
    else:
        with pytest.raises(CheckpointError, match=r"state-000000000016\.pt: damaged \(checksum of"):
            started(tiny_recipe(f"train.init={newest}"))


def test_a_state_whose_weights_are_of_other_networks_is_damaged(tiny_recipe: MakeRecipe, parent: Path) -> None:
    path = RunFolder(parent).state(16)
    content = read_state(path)
    del content["discriminator"]["logit.bias"]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"do not fit its recipe\n  missing logit\.bias"):
        started(tiny_recipe(f"train.init={path}"))
    del content["g_optimizer"]
    content["discriminator"] = read_state(RunFolder(parent).state(8))["discriminator"]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="damaged: KeyError"):
        started(tiny_recipe(f"train.init={path}"))


def test_a_state_of_another_version_is_said_to_be_one(tiny_recipe: MakeRecipe, parent: Path) -> None:
    path = RunFolder(parent).state(16)
    torch.save(read_state(path) | {"format": "swincli-state-99"}, path)
    assert is_state(path)
    with pytest.raises(CheckpointError, match="not a training state of this version"):
        started(tiny_recipe(f"train.init={path}"))


class Payload:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("place", ["parent", "parent/state-000000000016.pt"])
def test_code_in_a_state_is_not_run(tiny_recipe: MakeRecipe, tmp_path: Path, parent: Path, place: str) -> None:
    path = RunFolder(parent).state(16)
    torch.save(read_state(path) | {"window": Payload(tmp_path / "made")}, path)
    RunFolder(parent).state(8).unlink()
    RunFolder(parent).state(0).unlink(missing_ok=True)
    with pytest.raises(CheckpointError):
        started(tiny_recipe(f"train.init={tmp_path / place}"))
    assert not (tmp_path / "made").exists()


def test_fine_tuning_counts_from_zero_with_new_moments(
    tiny_recipe: MakeRecipe, parent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = read_state(RunFolder(parent).state(16))
    # an end before the images that the checkpoint has seen is no error: they are not counted
    state = started(tiny_recipe(*POWER, f"train.init={parent}", FINE_TUNE, "train.total=8"), Console())
    assert state.images_seen == 0
    assert not state.g_optimizer.state
    assert not state.d_optimizer.state
    for part in ("generator", "discriminator", "average"):
        assert_equal(dict(getattr(state, part).state_dict()), content[part])
    said = capsys.readouterr().err
    assert "state-000000000016.pt, trained on 16 images; images are counted from 0" in said
    assert "untrained" not in said


def test_a_fine_tuned_run_is_a_run(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, parent: Path) -> None:
    recipe = tiny_recipe(f"train.init={parent}", FINE_TUNE, "train.total=12")
    whole = run(recipe, store, tmp_path / "child")
    assert whole["images_seen"] == 12
    RunFolder(tmp_path / "child").state(12).unlink()
    parent.rename(tmp_path / "gone")  # the checkpoint is not needed any more
    assert_equal(run(recipe, store, tmp_path / "child")["generator"], whole["generator"])


def test_ancestors_are_noted_from_run_to_run(tiny_recipe: MakeRecipe, tmp_path: Path, only_average: Path) -> None:
    first = started(tiny_recipe(f"train.init={only_average}", FINE_TUNE))
    assert [(each.step, each.name) for each in first.ancestors] == [("fine-tune", only_average.name)]
    save_state(tmp_path / "state-000000000008.pt", first)
    second = started(tiny_recipe(f"train.init={tmp_path / 'state-000000000008.pt'}", "train.total=40"))
    names = [only_average.name, f"{tmp_path.name}/state-000000000008.pt"]
    assert [each.name for each in second.ancestors] == names
    assert [each.step for each in second.ancestors] == ["fine-tune", "init"]
    restored = build_state(second.recipe, "hash", CPU)
    restore(restored, state_content(second))
    assert restored.ancestors == second.ancestors
    save_model(tmp_path / "child.safetensors", second.average, second.recipe, 8, ancestors=second.ancestors)
    assert load_model(tmp_path / "child.safetensors", CPU).ancestors == second.ancestors
    assert "ancestors" not in state_content(build_state(tiny_recipe(), "hash", CPU))


def test_the_network_that_d_looked_through_is_noted_by_runs_that_do_without_it(
    tiny_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From run to run, by states and models."""
    install_tiny_backbone(monkeypatch)
    path, child = tmp_path / "cats.safetensors", tmp_path / "child.safetensors"
    judged = tiny_recipe("model.size=32", "model.g_channels=[8,8,8,8]", "loss.features=1")
    save_model(path, Generator(judged.model), judged, 8)
    plain = ("model.size=32", "model.g_channels=[8,8,8,8]", FINE_TUNE)
    first = started(tiny_recipe(*plain, f"train.init={path}"))
    save_state(tmp_path / "state-000000000008.pt", first)
    second = started(tiny_recipe(*plain, f"train.init={tmp_path / 'state-000000000008.pt'}"))
    save_model(child, second.average, second.recipe, 8, ancestors=second.ancestors)
    model = load_model(child, CPU)
    assert not model.recipe.loss.features
    assert model_record(model, range(4), 1.0).judged_by == NetworkRecord(NoFile.network, NoFile.sha256)


def test_a_checkpoint_without_d_is_told(
    tiny_recipe: MakeRecipe, only_average: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started(tiny_recipe(f"train.init={only_average}", FINE_TUNE), Console())
    assert f"{only_average} has no D: training starts with new ones" in capsys.readouterr().err
    with pytest.raises(RecipeError, match=r"train\.freeze_d: is 1, but .*model\.safetensors has no D"):
        started(tiny_recipe(f"train.init={only_average}", FINE_TUNE, "train.freeze_d=1"))


def images(state: TrainingState, label: int | None, count: int = 4) -> torch.Tensor:
    z = torch.randn(count, 16, generator=torch.Generator().manual_seed(0))
    out: torch.Tensor = state.generator(z, None if label is None else torch.full((count,), label))
    return out


def test_classes_come_in_and_the_images_stay(
    tiny_recipe: MakeRecipe, parent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = started(tiny_recipe(f"train.init={parent}"))
    state = started(tiny_recipe(f"train.init={parent}", FINE_TUNE, "model.classes=3"), Console())
    said = capsys.readouterr().err
    assert f"3 classes here, 0 in {RunFolder(parent).state(16)}" in said
    assert "G's embedding, D's embedding, D's logit start untrained" in said
    for label in range(3):
        torch.testing.assert_close(images(state, label), images(plain, None))
    fresh = build_state(state.recipe, "hash", CPU)
    for name, value in state.discriminator.state_dict().items():
        source = fresh if name.startswith(("embedding", "logit")) else plain
        assert torch.equal(value, source.discriminator.state_dict()[name])
    state.generator.requires_grad_(True)
    images(state, 1).square().sum().backward()
    gradient = state.generator.mapping[1].weight.grad
    assert isinstance(gradient, torch.Tensor)
    assert gradient[:, 16:].abs().max() > 0  # the classes are learned from the first step on


@pytest.mark.parametrize(("then", "now"), [(3, 0), (3, 2)])
def test_other_classes_keep_all_that_does_not_know_them(
    tiny_recipe: MakeRecipe, tmp_path: Path, then: int, now: int
) -> None:
    first = build_state(tiny_recipe(f"model.classes={then}", "train.seed=9"), "hash", CPU)
    save_state(tmp_path / "state-000000000008.pt", first)
    state = started(tiny_recipe(f"model.classes={now}", f"train.init={tmp_path}", FINE_TUNE))
    own, found = state.generator.state_dict(), first.generator.state_dict()
    same = {name for name in own if name in found and torch.equal(own[name], found[name])}
    changed = {name.partition(".")[0] for name in own.keys() - same}
    assert changed == ({"embedding"} if now else {"mapping"})
    assert images(state, 1 if now else None).isfinite().all()


def test_going_on_with_other_classes_is_refused(tiny_recipe: MakeRecipe, parent: Path) -> None:
    with pytest.raises(RecipeError, match=r"model\.classes: 3 here, 0 in") as caught:
        started(tiny_recipe(f"train.init={parent}", "model.classes=3"))
    assert "--set train.init_mode=fine-tune" in (caught.value.hint or "")


def test_fine_tuning_other_networks_is_refused(tiny_recipe: MakeRecipe, parent: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        started(tiny_recipe(f"train.init={parent}", FINE_TUNE, "model.classes=3", "model.g_width=32"))
    assert caught.value.problems == [f"model.g_width: 32 here, 16 in {RunFolder(parent).state(16)}"]
    assert "fine-tune" not in (caught.value.hint or "")


def test_a_second_d_that_the_checkpoint_has_not_may_look_as_it_likes(tiny_recipe: MakeRecipe, parent: Path) -> None:
    console = Console(quiet=True)
    others = "model.features_side=128", "model.feature_heads=full"
    assert check_init(tiny_recipe(f"train.init={parent}", FINE_TUNE, *others), console)
    assert check_init(tiny_recipe(f"train.init={parent}", *others), console)


def test_a_dry_run_says_what_it_would_start_from(tiny_recipe: MakeRecipe, parent: Path, only_average: Path) -> None:
    console = Console(quiet=True)
    assert check_init(tiny_recipe(), console) is None
    state = RunFolder(parent).state(16)
    assert check_init(tiny_recipe(f"train.init={parent}"), console) == f"starting from {state}, trained on 16 images"
    assert str(only_average) in (check_init(tiny_recipe(f"train.init={only_average}", FINE_TUNE), console) or "")
    with pytest.raises(RecipeError, match=r"train\.total: is 16 images"):
        check_init(tiny_recipe(f"train.init={parent}", "train.total=16"), console)
    with pytest.raises(RecipeError, match=r"model\.g_width"):
        check_init(tiny_recipe(f"train.init={parent}", "model.g_width=32"), console)
    with pytest.raises(CheckpointError, match="no such run or model"):
        check_init(tiny_recipe(f"train.init={parent}-not"), console)


@pytest.mark.parametrize("kind", ["wavelet", "plain", "patch"])
def test_frozen_layers_are_not_trained(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, kind: str) -> None:
    discriminator = f"model.discriminator={kind}"
    save_state(tmp_path / "state.pt", build_state(tiny_recipe(discriminator, "train.seed=9"), "hash", CPU))
    parent = read_state(tmp_path / "state.pt")
    more = (f"train.init={tmp_path / 'state.pt'}", FINE_TUNE, "train.freeze_d=1", "train.total=8")
    recipe = tiny_recipe(discriminator, *more)
    child = run(recipe, store, tmp_path / "child")
    network = build_state(recipe, "hash", CPU).discriminator
    frozen = frozen_parameters(network, 1)
    names = {name for name, parameter in network.named_parameters() if parameter in frozen}
    moved = {
        name
        for name, _ in network.named_parameters()
        if not torch.equal(parent["discriminator"][name], child["discriminator"][name])
    }
    assert names
    assert moved == {name for name, _ in network.named_parameters()} - names
    assert len(child["d_optimizer"]["state"]) == len(list(network.parameters())) - len(names)


def test_moments_find_their_parameters_where_some_are_frozen(tiny_recipe: MakeRecipe, parent: Path) -> None:
    content = read_state(RunFolder(parent).state(16))
    state = started(tiny_recipe(f"train.init={parent}", "train.freeze_d=1"))
    numbers = {name: number for number, (name, _) in enumerate(state.discriminator.named_parameters())}
    names = {parameter: name for name, parameter in state.discriminator.named_parameters()}
    assert len(state.d_optimizer.state) < len(numbers)
    for parameter, moments in state.d_optimizer.state.items():
        assert_equal(dict(moments), content["d_optimizer"]["state"][numbers[names[parameter]]])


def test_moments_of_a_run_with_frozen_layers_are_read_back(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, parent: Path
) -> None:
    recipe = tiny_recipe(f"train.init={parent}", FINE_TUNE, "train.freeze_d=1", "train.total=4")
    child = run(recipe, store, tmp_path / "child")
    found = read_init_checkpoint(str(tmp_path / "child"), Console(quiet=True)).snapshot.d_optimizer
    assert found is not None
    assert len(found.moments) == len(child["d_optimizer"]["state"])
    thawed = started(tiny_recipe(f"train.init={tmp_path / 'child'}"))
    names = {parameter: name for name, parameter in thawed.discriminator.named_parameters()}
    assert {names[parameter] for parameter in thawed.d_optimizer.state} == set(found.moments)
