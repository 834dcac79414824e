"""Tuned weights as a file: exact, small, and refused for another model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from swincli.errors import CheckpointError
from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.files.tuned import (
    Deltas,
    apply_tuned,
    lora_rank,
    read_tuned_note,
    save_deltas,
    with_deltas,
    zero_deltas,
)
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.sampling import render


@pytest.fixture
def model(tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> Model:
    return make(tiny_recipe, tmp_path / "model-a.safetensors", 0)


def make(tiny_recipe: Callable[..., Recipe], path: Path, seed: int) -> Model:
    torch.manual_seed(seed)
    recipe = tiny_recipe("model.adain_gamma=1.0", "model.g_width=32")
    save_model(path, Generator(recipe.model), recipe, 10)
    return load_model(path, torch.device("cpu"))


def some_deltas(model: Model) -> Deltas:
    random = torch.Generator().manual_seed(1)
    blank = zero_deltas(model.generator)
    return {name: (0.1 * torch.randn(value.shape, generator=random)).half() for name, value in blank.items()}


def test_a_file_gives_the_very_same_images(model: Model, tmp_path: Path) -> None:
    changes = some_deltas(model)
    path = tmp_path / "tuned.safetensors"
    save_deltas(path, model, changes, "how it was made")
    codes = codes_of_seeds(model, range(4))
    expected = render(with_deltas(model, changes), codes)
    assert torch.equal(render(apply_tuned(model, path), codes), expected)
    assert not torch.equal(render(model, codes), expected)
    assert read_tuned_note(path) == "how it was made"


def test_codes_keep_their_meaning_and_zero_deltas_change_nothing(model: Model) -> None:
    bent = with_deltas(model, some_deltas(model))
    codes = codes_of_seeds(model, range(4))
    assert torch.equal(codes_of_seeds(bent, range(4)), codes)
    assert torch.equal(render(with_deltas(model, zero_deltas(model.generator)), codes), render(model, codes))


def test_ranks_are_small() -> None:
    assert lora_rank(torch.empty(512, 512)) == 8
    assert lora_rank(torch.empty(2048, 512)) == 8
    assert lora_rank(torch.empty(1024, 1024)) == 16
    assert lora_rank(torch.empty(64, 128)) == 4
    assert lora_rank(torch.empty(3, 64, 1, 1)) is None
    assert lora_rank(torch.empty(512)) is None


def test_the_file_of_a_large_model_is_small() -> None:
    from swincli.recipe import load_recipe

    section = load_recipe("ffhq256", []).model
    with meta_init():
        generator = Generator(section)
    changed = sum(value.numel() for value in zero_deltas(generator).values()) * 2
    assert changed < 0.04 * sum(value.numel() for value in generator.parameters()) * 4


def test_what_does_not_belong_is_refused(model: Model, tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    path = tmp_path / "tuned.safetensors"
    save_deltas(path, model, some_deltas(model), "")
    other = make(tiny_recipe, tmp_path / "model-b.safetensors", 1)
    with pytest.raises(CheckpointError, match="tuned from another model"):
        apply_tuned(other, path)
    with pytest.raises(CheckpointError, match="not a file of tuned weights"):
        apply_tuned(model, model.path)
    with pytest.raises(CheckpointError, match="no such file"):
        apply_tuned(model, tmp_path / "none.safetensors")
    path.write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="damaged"):
        apply_tuned(model, path)
    assert read_tuned_note(path) is None
    save_deltas(path, model, dict(list(some_deltas(model).items())[1:]), "")
    with pytest.raises(CheckpointError, match="missing"):
        apply_tuned(model, path)
