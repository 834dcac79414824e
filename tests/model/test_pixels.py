"""Conversion between uint8 images and the networks' range."""

from __future__ import annotations

import pytest
import torch

from swincli.model.pixels import to_network, to_pictures

HALF = (0.5, 0.5, 0.5)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(("mean", "std"), [(HALF, HALF), IMAGENET])
def test_every_level_survives_the_way_there_and_back(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    pictures = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert torch.equal(to_pictures(to_network(pictures, mean, std), mean, std), pictures)


def test_range_is_minus_one_to_one_with_halves() -> None:
    pictures = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    torch.testing.assert_close(to_network(pictures, HALF, HALF)[0, 0, 0], torch.tensor([-1.0, 1.0]))


def test_channels_have_their_own_mean_and_std() -> None:
    white = torch.full((1, 1, 1, 3), 255, dtype=torch.uint8)
    expected = torch.tensor([(1 - m) / s for m, s in zip(*IMAGENET, strict=True)])
    torch.testing.assert_close(to_network(white, *IMAGENET).flatten(), expected)


def test_what_is_out_of_range_is_clipped_not_wrapped() -> None:
    images = torch.tensor([-3.0, 3.0, 0.0]).view(1, 3, 1, 1)
    assert to_pictures(images, HALF, HALF).flatten().tolist() == [0, 255, 128]
