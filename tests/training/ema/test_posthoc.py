"""Averages of any width out of snapshots, against the same averages kept all along."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import torch

from swincli.errors import CheckpointError, UsageError
from swincli.model.files.classes import Classes
from swincli.model.files.model_file import METADATA, load_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.training.ema.ema import update_ema, update_emas
from swincli.training.ema.posthoc import plan_reconstruction, write_reconstruction
from swincli.training.ema.power_profiles import PowerProfile, power_ema_decay
from swincli.training.ema.snapshots import find_power_snapshots, read_weights, save_power_snapshots, snapshot_path
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState, build_state

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
BATCH, STEPS, EVERY = 10, 200, 10  # 20 moments
POWER = ("ema.power=[0.05, 0.1]", f"train.batch={BATCH}")


def a_run(path: Path, recipe: Recipe) -> RunFolder:
    folder = RunFolder(path)
    folder.prepare(recipe)
    return folder


def wander(state: TrainingState, random: torch.Generator) -> None:
    """A step of training as far as averages know it: G's weights take a random step, and the averages follow."""
    for parameter in state.generator.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.1)
    state.images_seen += BATCH
    update_emas(state)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[float, Generator]]:
    """A run whose weights wander, and its averages of other widths as they are kept all along."""
    run = tmp_path_factory.mktemp("walk")
    model = {"size": 16, "latent_dim": 8, "mapping_layers": 1, "g_width": 8, "d_width": 4}
    recipe = Recipe.model_validate({"model": model, "train": {"batch": BATCH}, "ema": {"power": [0.05, 0.1]}})
    state, random, folder = build_state(recipe, "hash", CPU), torch.Generator().manual_seed(0), a_run(run, recipe)
    direct = {width: copy.deepcopy(state.average) for width in (0.03, 0.05, 0.07, 0.1, 0.15, 0.25)}
    for step in range(1, STEPS + 1):
        wander(state, random)
        for width, average in direct.items():
            update_ema(average, state.generator, power_ema_decay(state.images_seen, BATCH, width))
        if step % EVERY == 0:
            save_power_snapshots(folder, state)
    return run, direct


def made(run: Path, width: float, dest: Path, at: int | None = None) -> dict[str, torch.Tensor]:
    write_reconstruction(plan_reconstruction(run, width, at), dest, lambda: None)
    return load_model(dest, CPU).generator.state_dict()


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return torch.stack([(one[name].double() - other[name].double()).square().sum() for name in one]).sum().sqrt().item()


@pytest.mark.parametrize(("width", "most"), [(0.03, 0.15), (0.07, 0.03), (0.15, 0.03), (0.25, 0.1)])
def test_an_untracked_width_is_what_it_would_have_been(
    walk: tuple[Path, dict[float, Generator]], tmp_path: Path, width: float, most: float
) -> None:
    """Near it as a share of what lies between the two that are kept; most of what is left is float16's rounding."""
    run, direct = walk
    found = made(run, width, tmp_path / "model.safetensors")
    wanted = direct[width].state_dict()
    apart = distance(direct[0.05].state_dict(), direct[0.1].state_dict())
    assert distance(found, wanted) < most * apart


@pytest.mark.parametrize("width", [0.05, 0.1])
def test_a_tracked_width_is_the_snapshot_itself(
    walk: tuple[Path, dict[float, Generator]], tmp_path: Path, width: float
) -> None:
    run, direct = walk
    found = made(run, width, tmp_path / "model.safetensors")
    for name, value in direct[width].state_dict().items():
        assert torch.equal(found[name], value.half().float())
    assert len(plan_reconstruction(run, width).needed) == 1


def test_an_earlier_moment_knows_nothing_of_later_ones(
    walk: tuple[Path, dict[float, Generator]], tmp_path: Path
) -> None:
    run, _ = walk
    at, short = EVERY * BATCH * 10, tmp_path / run.name  # ancestors are named
    (short / "averages").mkdir(parents=True)
    for snapshot in find_power_snapshots(run):
        if snapshot.profile.images_seen <= at:
            (short / "averages" / snapshot.path.name).hardlink_to(snapshot.path)
    early, alone = tmp_path / "early.safetensors", tmp_path / "alone.safetensors"
    write_reconstruction(plan_reconstruction(run, 0.07, at), early, lambda: None)
    write_reconstruction(plan_reconstruction(short, 0.07), alone, lambda: None)
    assert early.read_bytes() == alone.read_bytes()
    assert load_model(early, CPU).images_seen == at


def test_a_moment_is_found_by_when_it_was_due(walk: tuple[Path, dict[float, Generator]]) -> None:
    run, _ = walk
    assert plan_reconstruction(run, 0.07, 1000 - BATCH + 1).wanted == PowerProfile(0.07, 1000)
    for at in (1000 - BATCH, 1001):
        with pytest.raises(UsageError, match=f"--at {at:,}: .* has no snapshot there") as caught:
            plan_reconstruction(run, 0.07, at)
        assert "1,000" in (caught.value.hint or "")


def test_the_file_tells_its_width(walk: tuple[Path, dict[float, Generator]], tmp_path: Path) -> None:
    run, _ = walk
    made(run, 0.07, tmp_path / "model.safetensors")
    with safetensors.safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()[METADATA])
    assert (about["ema_width"], about["images_seen"]) == (0.07, STEPS * BATCH)


def test_big_and_whole_numbers_are_not_halved(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    state = build_state(tiny_recipe(*POWER, "model.style=adabn"), "hash", CPU)
    random = torch.Generator().manual_seed(0)
    for _ in range(2):
        wander(state, random)
        for average in state.power:
            next(average.parameters()).data.view(-1)[0] = 1e6
            for name, value in average.named_buffers():
                value.fill_(7 if name.endswith("tracked") else 0.1 * state.images_seen)
        save_power_snapshots(a_run(tmp_path, state.recipe), state)
    first, *_ = find_power_snapshots(tmp_path)
    weights = read_weights(first)
    kinds = {name: value.dtype for name, value in weights.items() if value.dtype != torch.float16}
    assert set(kinds.values()) == {torch.float32, torch.int64}
    assert [name for name, kind in kinds.items() if kind == torch.float32] == [
        next(iter(dict(state.average.named_parameters())))
    ]
    found = made(tmp_path, 0.05, tmp_path / "model.safetensors")
    means = [value for name, value in found.items() if name.endswith("running_mean")]
    assert means
    assert all(torch.allclose(value, torch.tensor(2.0), atol=1e-3) for value in means)  # as at the last moment


def test_classes_go_along(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    state = build_state(tiny_recipe(*POWER, "model.classes=2"), "hash", CPU)
    state.classes = Classes(("blue", "red"), (8, 4))
    random = torch.Generator().manual_seed(0)
    for _ in range(2):
        wander(state, random)
        save_power_snapshots(a_run(tmp_path, state.recipe), state)
    made(tmp_path, 0.08, tmp_path / "model.safetensors")
    model = load_model(tmp_path / "model.safetensors", CPU)
    assert model.classes == state.classes
    assert model.w_mean_by_class is not None


def test_nothing_is_written_where_no_averages_are_kept(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    state = build_state(tiny_recipe(), "hash", CPU)
    run = tmp_path / "run"
    save_power_snapshots(RunFolder(run), state)
    assert not run.exists()
    run.mkdir()
    with pytest.raises(CheckpointError, match="has no power-function EMAs"):
        plan_reconstruction(run, 0.05)


def test_one_moment_gives_its_own_widths_and_no_other(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    state = build_state(tiny_recipe(*POWER), "hash", CPU)
    wander(state, torch.Generator().manual_seed(0))
    save_power_snapshots(a_run(tmp_path, state.recipe), state)
    assert plan_reconstruction(tmp_path, 0.05).solution.coefficients == [1.0, 0.0]
    with pytest.raises(UsageError, match=r"until 10 images .* has only one snapshot, of width 0\.05 and 0\.1"):
        plan_reconstruction(tmp_path, 0.07)


def damage_by_cutting(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_by_foreign_file(path: Path) -> None:
    path.write_bytes(b"nothing")


@pytest.mark.parametrize("damage", [damage_by_cutting, damage_by_foreign_file])
def test_a_damaged_snapshot_is_named(tiny_recipe: MakeRecipe, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    state, random = build_state(tiny_recipe(*POWER), "hash", CPU), torch.Generator().manual_seed(0)
    for _ in range(3):
        wander(state, random)
        save_power_snapshots(a_run(tmp_path, state.recipe), state)
    broken = snapshot_path(tmp_path, PowerProfile(0.1, 2 * BATCH))
    damage(broken)
    with pytest.raises(CheckpointError, match=r"power-0\.1-000000000020\.safetensors: damaged") as caught:
        plan_reconstruction(tmp_path, 0.07)
    assert "Move it away" in (caught.value.hint or "")
    broken.rename(tmp_path / "away")
    made(tmp_path, 0.07, tmp_path / "model.safetensors")


def test_snapshots_of_another_network_are_refused(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    for width, moments in ((16, 1), (32, 2)):
        state = build_state(tiny_recipe(*POWER, f"model.g_width={width}"), "hash", CPU)
        for _ in range(moments):
            wander(state, torch.Generator().manual_seed(0))
        save_power_snapshots(a_run(tmp_path, state.recipe), state)
    with pytest.raises(CheckpointError, match=r"power-0\.05-000000000010\.safetensors: its networks differ"):
        made(tmp_path, 0.07, tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()
