"""G: shapes, parameter counts, latents and gradients."""

from __future__ import annotations

import math

import pytest
import torch

from swincli.model.blocks.adaptive_norm import AdaptiveInstanceNorm
from swincli.model.blocks.position import sine_table
from swincli.model.blocks.upsample import Upsample
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe.schema import ModelSection

TINY = {"latent_dim": 16, "g_width": 16, "d_width": 8, "mapping_layers": 2}


def meta_generator(config: ModelSection) -> Generator:
    with meta_init():
        return Generator(config)


@pytest.mark.parametrize(
    ("size", "multiplier", "count"), [(64, 2, 45_209_794), (256, 2, 48_929_512), (1024, 1, 40_862_990)]
)
def test_parameter_counts_are_the_papers(size: int, multiplier: int, count: int) -> None:
    generator = meta_generator(ModelSection(size=size, g_multiplier=multiplier))
    assert sum(parameter.numel() for parameter in generator.parameters()) == count


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256, 512, 1024])
def test_every_size_maps_to_its_shape(size: int) -> None:
    config = ModelSection(size=size, latent_dim=16, g_width=128)
    generator = meta_generator(config)
    w_plus = torch.empty(2, config.num_ws, 16, device="meta")
    assert generator.synthesise(w_plus).shape == (2, 3, size, size)
    assert config.num_ws == 2 * (int(math.log2(size)) - 1)


def test_steps_make_up_the_whole() -> None:
    generator = Generator(ModelSection(size=16, **TINY))
    z = torch.randn(3, 16)
    w = generator.map(z)
    w_plus = generator.broadcast(w)
    assert w_plus.shape == (3, 6, 16)
    assert torch.equal(generator.synthesise(w_plus), generator(z))


def test_each_code_of_w_plus_matters() -> None:
    torch.manual_seed(0)
    generator = Generator(ModelSection(size=16, adain_gamma=1.0, **TINY))
    w_plus = torch.randn(1, 6, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator.synthesise(w_plus).square().sum(), w_plus)
    assert (gradient.abs().sum(dim=2) > 0).all()


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    generator = Generator(ModelSection(size=16, adain_gamma=1.0, **TINY))
    generator(torch.randn(2, 16)).square().mean().backward()
    assert [name for name, parameter in generator.named_parameters() if parameter.grad is None] == []


def test_adain_sets_mean_and_deviation() -> None:
    norm = AdaptiveInstanceNorm(8, 16).double()
    x, w = torch.randn(2, 4, 4, 8, dtype=torch.float64) * 5 + 3, torch.randn(2, 16, dtype=torch.float64)
    gamma, beta = norm.style(w).chunk(2, dim=1)
    out = norm(x, w)
    torch.testing.assert_close(out.mean(dim=(1, 2)), beta)
    torch.testing.assert_close(out.std(dim=(1, 2), correction=0), gamma.abs(), rtol=1e-5, atol=1e-5)


def test_position_encoding_is_the_formula() -> None:
    table = sine_table(5, 8)
    for position in range(1, 6):
        for i in range(4):
            angle = position * math.exp(-i * math.log(10_000) / 3)
            assert table[position - 1, i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position - 1, 4 + i].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_position_encoding_starts_at_zero_and_tells_rows_from_columns() -> None:
    torch.manual_seed(0)
    upsample = Upsample(ModelSection(), 8, 8, 8)
    x = torch.randn(1, 4, 4, 8)
    without = upsample(x)
    torch.nn.init.ones_(upsample.position_strength)
    added = (upsample(x) - without)[0]
    table = sine_table(8, 4)
    torch.testing.assert_close(added[3, 5], torch.cat([table[5], table[3]]), rtol=1e-4, atol=1e-5)
