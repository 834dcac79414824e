"""How many images a forward pass makes on which device, and images that are copied out late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.synthesis.sampling import MAX_BATCH, default_sampling_batch, forward_bytes, render_all, sampling_batch

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GIB = 2**30


@pytest.fixture
def model(tiny_recipe: Callable[..., Recipe]) -> Model:
    recipe = tiny_recipe()
    generator = Generator(recipe.model).eval().requires_grad_(False)
    return Model(generator, recipe, 0, torch.zeros(recipe.model.latent_dim), Path("model"))


@pytest.mark.parametrize(("size", "batch"), [(32, 64), (128, 64), (256, 16), (1024, 1)])
def test_a_cpu_takes_what_fits_a_modest_machine(size: int, batch: int) -> None:
    assert sampling_batch(ModelSection(size=size), CPU) == default_sampling_batch(size) == batch


@pytest.mark.parametrize(
    ("size", "multiplier", "free", "batch"),
    [(256, 2, 78, 32), (256, 2, 8, 4), (1024, 1, 78, 8), (1024, 1, 24, 4), (1024, 1, 1, 1), (32, 2, 78, 64)],
)
def test_a_gpu_takes_what_fits_half_of_its_free_memory(size: int, multiplier: int, free: int, batch: int) -> None:
    section = ModelSection(size=size, g_multiplier=multiplier)
    assert sampling_batch(section, CUDA, free * GIB) == batch
    fits = free * GIB / 2 / forward_bytes(section)
    assert batch in (1, MAX_BATCH) or fits / 2 < batch <= fits


def test_free_memory_counts_what_pytorch_holds_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    section = ModelSection(size=256)
    each = forward_bytes(section)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10 * each, 100 * each))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 9 * each)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 3 * each)
    assert sampling_batch(section, CUDA) == 8


def test_images_that_are_copied_out_late_are_the_same_ones_in_order(model: Model) -> None:
    codes = torch.randn(5, model.generator.num_ws, 16, generator=torch.Generator().manual_seed(0))
    asked: list[int] = []

    def batches() -> Iterator[Tensor]:
        for part in codes.split(2):
            asked.append(len(part))
            yield part

    plain = list(render_all(model, codes.split(2)))
    late = render_all(model, batches(), late=True)
    assert torch.equal(next(late), plain[0])
    assert asked == [2, 2]  # the second one is queued
    for ours, theirs in zip(late, plain[1:], strict=True):
        assert torch.equal(ours, theirs)
