"""Bytes that a forward leaves in memory besides the weights, as the benchmarks count them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from swincli.model.generator import Generator
from swincli.recipe.schema import ModelSection

kept_bytes = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "measuring.py"))["kept_bytes"]


def kept_after_a_forward(size: int) -> int:
    """`kept_bytes` of the narrowest possible generator after one forward."""
    config = ModelSection(size=size, latent_dim=8, mapping_layers=1, g_channels=[4] * (size.bit_length() - 2))
    generator = Generator(config).requires_grad_(False)
    with torch.inference_mode():
        generator(torch.zeros(1, 8))
    kept: int = kept_bytes(generator)
    return kept


@pytest.mark.slow
def test_tables_and_masks_do_not_grow_with_the_area() -> None:
    at_64, at_128 = kept_after_a_forward(64), kept_after_a_forward(128)
    assert at_128 - at_64 < 2**16  # masks of all windows would be 0.75 MiB more


def test_a_tensor_that_stays_is_counted_and_weights_are_not() -> None:
    network = torch.nn.Linear(1000, 1000)
    before = kept_bytes(network)
    stays = torch.zeros(1000)
    assert kept_bytes(network) - before == stays.untyped_storage().nbytes()
