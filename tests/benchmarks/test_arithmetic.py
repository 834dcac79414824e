"""Formulas for multiply-adds against PyTorch's FLOP counter on the plain networks."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from plain_networks import PlainDiscriminator, PlainGenerator
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from swincli.model.discriminators.wavelet import WaveletDiscriminator
from swincli.model.generator import Generator
from swincli.recipe.schema import ModelSection

arithmetic = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "arithmetic.py"))
generator_multiply_adds, discriminator_multiply_adds, attention_multiply_adds = (
    arithmetic[f"{name}_multiply_adds"] for name in ("generator", "discriminator", "attention")
)


def counted(network: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize(("size", "window"), [(16, 8), (16, 4), (32, 8), (64, 16)])
def test_formulas_count_what_the_plain_networks_do(size: int, window: int) -> None:
    config = ModelSection(size=size, window=window, latent_dim=24, mapping_layers=3, g_width=16, d_width=12)
    generator = PlainGenerator(Generator(config), config)
    discriminator = PlainDiscriminator(WaveletDiscriminator(config).eval(), config).eval()
    assert counted(generator, torch.zeros(1, 24)) == generator_multiply_adds(config)
    assert counted(discriminator, torch.zeros(1, 3, size, size)) == discriminator_multiply_adds(config)


@pytest.mark.parametrize(
    ("size", "multiplier", "of_g", "of_d"), [(64, 2, 36.5, 4.0), (256, 2, 95.6, 21.1), (1024, 1, 52.5, 50.6)]
)
def test_formulas_give_the_known_sums(size: int, multiplier: int, of_g: float, of_d: float) -> None:
    config = ModelSection(size=size, g_multiplier=multiplier)
    assert round(generator_multiply_adds(config) / 1e9, 1) == of_g
    assert round(discriminator_multiply_adds(config) / 1e9, 1) == of_d


def test_a_step_is_four_forwards_of_g_and_eight_of_d() -> None:
    config = ModelSection(size=16)
    once = 4 * generator_multiply_adds(config) + 8 * discriminator_multiply_adds(config)
    assert arithmetic["step_flops"](config, 3) == 2 * 3 * once


def test_attention_costs_every_pixel_the_same_at_any_size() -> None:
    config = ModelSection(size=1024)
    assert {attention_multiply_adds(config, side, 64) for side in (8, 64, 1024)} == {2 * 8**2 * 64}
