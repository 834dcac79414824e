"""Model files: writing and reading them, finding them, and refusing damaged ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from swincli.errors import CheckpointError
from swincli.model.files.find_checkpoint import METADATA, RUNS, find_checkpoint, model_name
from swincli.model.files.model_file import MODELS, UPGRADE, load_model, mean_w, save_model
from swincli.model.files.tensor_file import read_about, write_tensors
from swincli.model.generator import Generator
from swincli.recipe import Recipe

CPU = torch.device("cpu")


@pytest.fixture
def saved(tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> tuple[Path, Generator]:
    torch.manual_seed(0)
    recipe = tiny_recipe()
    generator = Generator(recipe.model).eval().requires_grad_(False)
    path = tmp_path / "run" / model_name(1234)
    save_model(path, generator, recipe, 1234)
    return path, generator


def test_out_and_back_is_bit_equal(saved: tuple[Path, Generator], tiny_recipe: Callable[..., Recipe]) -> None:
    path, generator = saved
    model = load_model(path, CPU)
    assert (model.images_seen, model.recipe, model.path) == (1234, tiny_recipe(), path)
    for name, value in generator.state_dict().items():
        assert torch.equal(model.generator.state_dict()[name], value)
    assert torch.equal(model.w_mean, mean_w(generator))
    assert not model.generator.training


def test_mean_w_is_the_mean(saved: tuple[Path, Generator]) -> None:
    _, generator = saved
    w = generator.map(torch.randn(100_000, 16, generator=torch.Generator().manual_seed(1)))
    standard_error = w.std(dim=0) / 10_000**0.5
    assert ((mean_w(generator) - w.mean(dim=0)).abs() < 5 * standard_error).all()


def test_checkpoint_may_be_file_run_or_left_out(
    saved: tuple[Path, Generator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = saved
    assert find_checkpoint(str(path)) == path
    assert find_checkpoint(str(path.parent)) == path
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no trained model under runs/"):
        find_checkpoint(None)
    for age, run in ((100, "old"), (1, "new")):
        copy = tmp_path / "runs" / run / path.name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(path.read_bytes())
        os.utime(copy, (copy.stat().st_atime, copy.stat().st_mtime - age))
    assert find_checkpoint(None) == RUNS / "new" / path.name


def test_a_runs_newest_good_model_is_taken(saved: tuple[Path, Generator]) -> None:
    path, _ = saved
    (path.parent / model_name(9999)).write_bytes(b"cut short")
    assert find_checkpoint(str(path.parent)) == path


def test_the_newest_is_known_by_what_is_inside(saved: tuple[Path, Generator], tmp_path: Path) -> None:
    path, generator = saved
    recipe = load_model(path, CPU).recipe
    names = {"model-zz-old.safetensors": 8, "model-000000000016.safetensors": 16, "model-1.safetensors": 4}
    for age, (name, images) in enumerate(names.items()):
        save_model(tmp_path / name, generator, recipe, images)
        os.utime(tmp_path / name, (10_000 + age, 10_000 + age))
    safetensors.torch.save_file({"x": torch.zeros(1)}, tmp_path / "model-zzz.safetensors")  # of another program
    assert find_checkpoint(str(tmp_path)).name == "model-000000000016.safetensors"


def test_missing_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere: no such run or model"):
        find_checkpoint(str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match="contains no model"):
        find_checkpoint(str(tmp_path))
    with pytest.raises(CheckpointError, match="no such model"):
        load_model(tmp_path / "none.safetensors", CPU)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 4096])
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged"):
        load_model(path, CPU)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a swincli model"):
        load_model(path, CPU)


@pytest.mark.parametrize(
    ("key", "before", "after", "message", "hint"),
    [
        ("recipe", "[model]", "[model]\nspirals = 3", "its recipe: model.spirals: unknown key", UPGRADE),
        ("format", "model-1", "model-2", "another version of swincli (swincli-model-2)", UPGRADE),
        ("format", "model-1", "tuned-1", "not a swincli model (swincli-tuned-1)", MODELS),
    ],
)
def test_a_file_of_another_version_says_so(
    saved: tuple[Path, Generator], key: str, before: str, after: str, message: str, hint: str
) -> None:
    path, _ = saved
    about = read_about(path, METADATA)
    changed = about | {key: about[key].replace(before, after)}
    assert changed != about
    write_tensors(path, safetensors.torch.load_file(path), METADATA, changed)
    with pytest.raises(CheckpointError) as caught:
        load_model(path, CPU)
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_weights_that_do_not_fit_are_all_listed(
    saved: tuple[Path, Generator], tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    _, generator = saved
    path = tmp_path / "odd.safetensors"
    save_model(path, generator, tiny_recipe("model.g_width=32"), 0)
    with pytest.raises(CheckpointError, match="do not fit its recipe") as caught:
        load_model(path, CPU)
    assert caught.value.message.count("\n") > 20
    save_model(path, generator, tiny_recipe("model.size=32"), 0)
    with pytest.raises(CheckpointError, match=r"missing levels\.3\.blocks\.0"):
        load_model(path, CPU)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_float32(saved: tuple[Path, Generator], dtype: torch.dtype) -> None:
    path, generator = saved
    with safetensors.safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).to(dtype) for name in file.keys()}  # noqa: SIM118
        safetensors.torch.save_file(tensors, path.with_name("other.safetensors"), file.metadata())
    model = load_model(path.with_name("other.safetensors"), CPU)
    assert model.w_mean.dtype == torch.float32
    for name, value in generator.state_dict().items():
        assert torch.equal(model.generator.state_dict()[name], value.to(dtype).float())
    model.generator(torch.zeros(1, 16))


def test_keys_of_the_owner_are_in_no_model(saved: tuple[Path, Generator], tiny_recipe: Callable[..., Recipe]) -> None:
    path, generator = saved
    before = path.read_bytes()
    save_model(path, generator, tiny_recipe('run.on_event="curl secret"', 'run.mirror="/backup"'), 1234)
    assert path.read_bytes() == before
