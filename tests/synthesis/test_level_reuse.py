"""Reuse of lower levels from batch to batch, and previews: the same bits as whole syntheses, and less work."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.generator import Generator
from swincli.ops import cpu_tiles, fir
from swincli.recipe.schema import ModelSection
from swincli.synthesis.level_reuse import shared_levels, synthesise_all
from swincli.synthesis.sampling import preview_levels, reuse_batch

SIZES = {"size": 32, "latent_dim": 16, "mapping_layers": 1, "g_width": 16, "d_width": 8, "adain_gamma": 1.0}


def network(**keys: object) -> Generator:
    torch.manual_seed(0)
    generator = Generator(ModelSection.model_validate(SIZES | keys)).eval().requires_grad_(False)
    for parameter in generator.parameters():
        parameter.mul_(2)
    return generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return network()


def codes_from(layer: int, count: int = 7) -> Tensor:
    """w+ of images that share all codes before a layer, `[count, 8, 16]`."""
    drawn = torch.randn(count, 8, 16, generator=torch.Generator().manual_seed(layer))
    drawn[:, :layer] = drawn[:1, :layer]
    return drawn


@contextmanager
def counted(generator: Generator) -> Iterator[list[int]]:
    """How often each level has run."""
    runs = [0] * len(generator.levels)

    def count(index: int) -> Callable[..., None]:
        def hook(*_: object) -> None:
            runs[index] += 1

        return hook

    hooks = [level.register_forward_hook(count(index)) for index, level in enumerate(generator.levels)]
    yield runs
    for hook in hooks:
        hook.remove()


@torch.inference_mode()
def plainly(generator: Generator, parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([generator.synthesise(part) for part in parts])


@pytest.mark.parametrize(("layer", "shared"), [(0, 0), (1, 0), (2, 1), (5, 2), (6, 3), (8, 4)])
@pytest.mark.parametrize("batch", [1, 3])
def test_shared_codes_are_computed_once_and_the_bits_are_the_same(
    generator: Generator, layer: int, shared: int, batch: int
) -> None:
    parts = codes_from(layer).split(batch)
    with counted(generator) as runs:
        drawn = torch.cat(list(synthesise_all(generator, iter(parts))))
    assert torch.equal(drawn, plainly(generator, parts))
    same_size = sum(len(part) == batch for part in parts)  # the last batch is smaller, and begins anew
    assert runs == [len(parts) - same_size + 1] * shared + [len(parts)] * (4 - shared)


def test_a_batch_goes_on_from_what_the_one_before_has(generator: Generator) -> None:
    """Depths of sharing that grow and shrink, and rows that change places."""
    one = codes_from(0, 2)
    batches = [one, one.clone(), one.flip(0), one[:1]]
    for layer in (2, 6, 7, 4, 1, 4):
        batches.append(batches[-1].clone())
        batches[-1][-1, layer:] += 1
    drawn = torch.cat(list(synthesise_all(generator, batches)))
    assert torch.equal(drawn, plainly(generator, tuple(batches)))


def test_tiles_of_a_cpu_give_the_same_bits(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_tiles, "TILE_BYTES", 2**12)  # rows of one image at 8 px and above
    parts = codes_from(6).split(2)
    assert torch.equal(torch.cat(list(synthesise_all(generator, parts))), plainly(generator, parts))


def test_the_way_of_a_gpu_gives_the_same_bits(generator: Generator) -> None:
    parts = codes_from(6).split(2)
    with cpu_tiles.as_on_a_gpu():
        assert torch.equal(torch.cat(list(synthesise_all(generator, parts))), plainly(generator, parts))


@pytest.mark.parametrize("style", ["adabn", "adaln", "modulated-mlp", "cross-attention", "none"])
def test_every_style_gives_the_same_bits(style: str) -> None:
    generator, parts = network(style=style), codes_from(4).split(2)
    with counted(generator) as runs:
        drawn = torch.cat(list(synthesise_all(generator, parts)))
    assert torch.equal(drawn, plainly(generator, parts))
    assert runs[0] < runs[3]


def test_statistics_of_batches_are_counted_as_without_reuse() -> None:
    """AdaBN in training mode moves its running statistics in every pass."""
    generator, parts = network(style="adabn").train(), codes_from(6, 6).split(2)
    twin = copy.deepcopy(generator)
    assert torch.equal(torch.cat(list(synthesise_all(generator, parts))), plainly(twin, parts))
    for ours, theirs in zip(generator.buffers(), twin.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_shared_levels_need_both_codes_of_every_row() -> None:
    one = torch.randn(3, 8, 4)
    other = one.clone()
    assert shared_levels(one, other) == 4
    other[2, 5] += 1
    assert shared_levels(one, other) == 2
    other[1, 0] += 1
    assert shared_levels(one, other) == 0
    assert shared_levels(one, one[:2]) == 0


def test_a_preview_is_what_its_levels_add_to_the_image(generator: Generator) -> None:
    """The image is the preview and the upsampled tRGB of the other levels; FIR upsampling is linear."""
    w_plus, config = codes_from(0, 2), ModelSection.model_validate(SIZES)
    recorded: list[Tensor] = []
    hooks = [level.to_rgb.register_forward_hook(lambda *given: recorded.append(given[2])) for level in generator.levels]
    image = plainly(generator, (w_plus,))
    for hook in hooks:
        hook.remove()
    for side, later in ((8, 3), (16, 2), (32, 0)):
        (preview,) = synthesise_all(generator, [w_plus], preview_levels(config, side))
        rest = torch.zeros_like(image)
        for rgb in recorded[len(recorded) - later :] if later else []:
            while rgb.shape[-1] < 32:
                rgb = fir.upsample(rgb)
            rest += rgb
        torch.testing.assert_close(preview + rest, image, rtol=1e-5, atol=1e-5)
        assert torch.equal(preview, image) == (side == 32)


def test_a_preview_leaves_out_the_levels_above(generator: Generator) -> None:
    until = preview_levels(ModelSection.model_validate(SIZES), 16)
    with counted(generator) as runs:
        (preview,) = synthesise_all(generator, [codes_from(0, 1)], until)
    assert preview.shape == (1, 3, 32, 32)
    assert runs == [1, 1, 0, 0]


@pytest.mark.parametrize("side", [-8, 0, 4, 48, 64])
def test_sides_that_the_image_never_has_are_refused(side: int) -> None:
    with pytest.raises(UsageError, match=f"--preview {side}: the image does not pass this size"):
        preview_levels(ModelSection.model_validate(SIZES), side)


def test_only_a_cpu_draws_one_image_at_a_time() -> None:
    assert reuse_batch(ModelSection(size=64), torch.device("cpu")) == 1
    assert reuse_batch(ModelSection(size=64), torch.device("mps")) == 64
