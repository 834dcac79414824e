"""The z of seeds."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.synthesis.latents.codes import z_from_seeds


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=6), st.integers(1, 32))
def test_a_seeds_z_does_not_depend_on_its_neighbours(seeds: list[int], latent_dim: int) -> None:
    together = z_from_seeds(seeds, latent_dim)
    assert together.shape == (len(seeds), latent_dim)
    for seed, row in zip(seeds, together, strict=True):
        assert torch.equal(z_from_seeds([seed], latent_dim)[0], row)


def test_z_is_standard_normal() -> None:
    z = z_from_seeds(range(2000), 64)
    assert abs(z.mean().item()) < 0.02
    assert abs(z.std().item() - 1) < 0.02
