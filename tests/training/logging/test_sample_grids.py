"""Diversity of a sample grid: 0 if all images are one, in the same unit at every size."""

from __future__ import annotations

import pytest
import torch

from swincli.training.logging.sample_grids import diversity


def test_diversity_is_the_mean_distance_of_two_images() -> None:
    black, white = torch.zeros(1, 16, 16, 3, dtype=torch.uint8), torch.full((1, 16, 16, 3), 255, dtype=torch.uint8)
    assert diversity(black) == 0
    assert diversity(torch.cat([white, white, white])) == 0
    assert diversity(torch.cat([black, white])) == pytest.approx(1)
    assert diversity(torch.cat([black, black, white])) == pytest.approx(2 / 3)


def test_diversity_does_not_depend_on_the_size() -> None:
    small = torch.randint(0, 256, (6, 32, 32, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    large = small.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    assert diversity(large) == pytest.approx(diversity(small), rel=1e-5)
