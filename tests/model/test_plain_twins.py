"""The networks against their plain twins: values, gradients, and the second gradients that R1 needs."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from plain_networks import PlainDiscriminator, PlainGenerator
from torch import Tensor, nn

from swincli.model.blocks import position
from swincli.model.discriminators.wavelet import WaveletDiscriminator
from swincli.model.generator import Generator
from swincli.ops import cpu_tiles, mlp
from swincli.recipe.schema import ModelSection

CLOSE = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Largest allowed difference, relative to the largest value of the twin."""

GENERATORS = [(16, 8, "double"), (16, 4, "single"), (32, 8, "single"), (32, 4, "double")]
DISCRIMINATORS = [(16, True), (32, False)]
BATCHES = [1, 3]
TILES = [None, 2**21, 2**13]
"""Tile sizes in bytes: None leaves small maps untiled; the others tile every map, in whole images or in rows."""

each_precision = pytest.mark.parametrize("dtype", CLOSE, ids=str)
each_batch = pytest.mark.parametrize("batch", BATCHES)
each_generator = pytest.mark.parametrize(("size", "window", "attention"), GENERATORS)
each_discriminator = pytest.mark.parametrize(("size", "spectral_norm"), DISCRIMINATORS)

Grads = dict[str, Tensor]


def make_generator(size: int, window: int, attention: str, dtype: torch.dtype) -> tuple[Generator, PlainGenerator]:
    """Both generators on the same weights, none of which is 0 as before training."""
    torch.manual_seed(size + window)
    widths = [16, 32, 16, 8][: size.bit_length() - 2]
    config = ModelSection(
        size=size, latent_dim=16, mapping_layers=2, window=window, attention=attention, g_channels=widths
    )
    generator = Generator(config).to(dtype)
    disturb(generator)
    return generator, PlainGenerator(generator, config)


def make_discriminator(
    size: int, spectral_norm: bool, dtype: torch.dtype
) -> tuple[WaveletDiscriminator, PlainDiscriminator]:
    """Both discriminators on the same weights, after five steps of power iteration."""
    torch.manual_seed(size)
    config = ModelSection(size=size, d_channels=[16, 8, 16, 8][: size.bit_length() - 2], spectral_norm=spectral_norm)
    discriminator = WaveletDiscriminator(config).to(dtype)
    disturb(discriminator)
    with torch.no_grad():
        for _ in range(5):
            discriminator(torch.randn(2, 3, size, size, dtype=dtype))
    return discriminator.eval(), PlainDiscriminator(discriminator, config).eval()


@torch.no_grad()
def disturb(network: nn.Module) -> None:
    """Add noise to all parameters."""
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))


def assert_close(fast: Tensor, plain: Tensor, what: str = "output", least: float = 0.0) -> None:
    """`least` replaces the largest value of the twin if that is smaller."""
    assert fast.shape == plain.shape, what
    difference, largest = (fast - plain).abs().max().item(), max(plain.abs().max().item(), least)
    assert difference <= CLOSE[plain.dtype] * largest, f"{what}: {difference:.2g} of {largest:.2g}"


def assert_all_close(fast: Grads, plain: Grads) -> None:
    assert fast.keys() == plain.keys()
    for name, gradient in plain.items():
        assert gradient.abs().max() > 0, f"{name}: nothing to compare"
        assert_close(fast[name], gradient, name)


def gradients(value: Tensor, network: nn.Module, x: Tensor) -> Grads:
    """Gradients of a scalar by every parameter and by the input."""
    names = [name for name, _ in network.named_parameters()]
    found = torch.autograd.grad(value, [*network.parameters(), x])
    return dict(zip([*names, "input"], found, strict=True))


def outputs(run: Callable[[Tensor], Tensor], x: Tensor, network: nn.Module) -> tuple[Tensor, Grads]:
    """A network's output, and the gradients of its inner product with fixed numbers."""
    x = x.detach().requires_grad_()
    out = run(x)
    return out.detach(), gradients((out * torch.linspace(-1, 2, out.numel()).to(out).view_as(out)).sum(), network, x)


def use_tiles_of(tile_bytes: int | None, patch: pytest.MonkeyPatch) -> None:
    """Tile maps of every size, in tiles of `tile_bytes`; None changes nothing."""
    if tile_bytes is not None:
        patch.setattr(cpu_tiles, "LARGE_BYTES", 1)
        patch.setattr(cpu_tiles, "TILE_BYTES", tile_bytes)
        patch.setattr(mlp, "MIN_POSITIONS", 1)


@each_precision
@each_batch
@each_generator
def test_generator_and_its_gradients(
    size: int, window: int, attention: str, batch: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, plain = make_generator(size, window, attention, dtype)
    z = torch.randn(batch, 16, dtype=dtype)
    expected_image, expected = outputs(plain, z, generator)
    for tile_bytes in TILES[: 2 if batch == 1 else 3]:  # more images than one do not change the rows of a tile
        with monkeypatch.context() as patch:
            use_tiles_of(tile_bytes, patch)
            image, found = outputs(generator, z, generator)
            assert_close(image, expected_image)
            assert_all_close(found, expected)
            for without_grad in (torch.no_grad, torch.inference_mode)[dtype == torch.float32 :]:
                with without_grad():
                    assert_close(generator(z), expected_image)


@pytest.mark.parametrize(("size", "window", "attention"), GENERATORS[:2])
def test_generator_on_a_gpus_path(size: int, window: int, attention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, plain = make_generator(size, window, attention, torch.float64)
    z = torch.randn(3, 16, dtype=torch.float64)
    expected_image, expected = outputs(plain, z, generator)
    for large, narrow, recompute_from in ((2**23, 64, None), (1, 0, None), (1, 64, 8)):
        monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", large)
        monkeypatch.setattr(position, "WHOLE_TABLE_BYTES", 0 if large == 1 else 2**21)
        monkeypatch.setattr(mlp, "NARROW", narrow)
        generator.recompute_from = recompute_from
        with cpu_tiles.as_on_a_gpu():
            image, found = outputs(generator, z, generator)
            assert_close(image, expected_image)
            assert_all_close(found, expected)
            with torch.inference_mode():
                assert_close(generator(z), expected_image)


def test_a_gpus_path_in_bf16_is_as_near_to_float32_as_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, _ = make_generator(16, 4, "double", torch.float32)
    z = torch.randn(2, 16)
    exact_image, exact = outputs(generator, z, generator)

    def distances() -> tuple[float, float]:
        """Of the image, and of all gradients together, relative to their lengths."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            image, found = outputs(generator, z, generator)
        lost = torch.stack([(found[name] - value).norm() for name, value in exact.items()]).norm()
        length = torch.stack([value.norm() for value in exact.values()]).norm()
        return ((image - exact_image).norm() / exact_image.norm()).item(), (lost / length).item()

    plain = distances()
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 1)
    with cpu_tiles.as_on_a_gpu():
        fast = distances()
    assert 0 < plain[0] < 0.05
    for ours, theirs in zip(fast, plain, strict=True):
        assert ours < 1.25 * theirs


@each_precision
@each_batch
@each_discriminator
def test_discriminator_and_its_gradients(size: int, spectral_norm: bool, batch: int, dtype: torch.dtype) -> None:
    discriminator, plain = make_discriminator(size, spectral_norm, dtype)
    image = torch.randn(batch, 3, size, size, dtype=dtype)
    fast_logits, fast = outputs(discriminator, image, discriminator)
    plain_logits, expected = outputs(plain, image, discriminator)
    assert_close(fast_logits, plain_logits)
    assert_all_close(fast, expected)
    with torch.inference_mode():
        assert_close(discriminator(image), plain_logits)


def penalty_gradients(run: Callable[[Tensor], Tensor], network: nn.Module, image: Tensor) -> Grads:
    """Gradients of the R1 penalty by every parameter and by the image; 0 if it does not depend on one."""
    image = image.detach().requires_grad_()
    (slope,) = torch.autograd.grad(run(image).sum(), image, create_graph=True)
    penalty = slope.square().sum(dim=(1, 2, 3)).mean()
    names = [name for name, _ in network.named_parameters()]
    by = [*network.parameters(), image]
    found = torch.autograd.grad(penalty, by, allow_unused=True, materialize_grads=True)
    return dict(zip([*names, "input"], found, strict=True))


@each_precision
@each_batch
@each_discriminator
def test_second_gradients_of_the_discriminator(size: int, spectral_norm: bool, batch: int, dtype: torch.dtype) -> None:
    discriminator, plain = make_discriminator(size, spectral_norm, dtype)
    image = torch.randn(batch, 3, size, size, dtype=dtype)
    fast = penalty_gradients(discriminator, discriminator, image)
    expected = penalty_gradients(plain, discriminator, image)
    # biases act only through the minibatch deviation; their gradients are below the rounding of float32
    least = 0.01 * max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        assert_close(fast[name], gradient, name, least if dtype == torch.float32 else 0.0)


@each_precision
def test_power_iteration_moves_the_same_vectors(dtype: torch.dtype) -> None:
    discriminator, _ = make_discriminator(16, True, dtype)
    twin = copy.deepcopy(discriminator)
    config = ModelSection(size=16, d_channels=[16, 8, 16])
    plain = PlainDiscriminator(twin, config).train()
    image = torch.randn(2, 3, 16, 16, dtype=dtype)
    for _ in range(2):
        assert_close(discriminator.train()(image), plain(image))
    for (name, ours), theirs in zip(discriminator.named_buffers(), twin.buffers(), strict=True):
        assert_close(ours, theirs, name)
