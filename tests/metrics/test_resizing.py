from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from swincli.metrics.resizing import choose_resize, pillow_resize, torch_resize

CPU = torch.device("cpu")
SIZES = [(64, 64), (256, 256), (299, 299), (300, 500), (777, 64)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_both_ways_agree(height: int, width: int) -> None:
    picture = noise(height, width)
    outcomes = [way.batch([way.single(picture)], CPU) for way in (pillow_resize(), torch_resize())]
    assert all(outcome.shape == (1, 3, 299, 299) and outcome.dtype == torch.float32 for outcome in outcomes)
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=0, atol=0.02)


def test_pillows_way_is_a_bicubic_filter_on_floats_without_rounding() -> None:
    picture = noise(100, 100)
    resized = pillow_resize().single(picture)
    for channel in range(3):
        plain = Image.fromarray(picture[:, :, channel].astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(resized[channel], np.asarray(plain).clip(0, 255))
    assert (resized != resized.round()).any()


@pytest.mark.parametrize("way", [pillow_resize(), torch_resize()], ids=["pillow", "torch"])
def test_the_filters_overshoot_is_clipped(way: object) -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[8:24, 8:24] = 255
    resized = way.batch([way.single(picture)], CPU)
    assert resized.min() == 0
    assert resized.max() == 255


def test_pictures_of_several_sizes_keep_their_order_in_torchs_batch() -> None:
    pictures = [noise(height, width) for height, width in (*SIZES, *SIZES[:2])]
    way = torch_resize()
    together = way.batch(pictures, CPU)
    torch.testing.assert_close(together, torch.cat([way.batch([picture], CPU) for picture in pictures]))


def test_the_protocol_can_tell_the_ways_apart_and_the_device_decides() -> None:
    assert pillow_resize().name != torch_resize().name
    assert choose_resize(CPU).name == pillow_resize().name
    assert choose_resize(torch.device("cuda")).name == torch_resize().name


def test_making_a_way_leaves_the_warning_filters_alone_and_torchvision_out() -> None:
    before = list(warnings.filters)
    pillow_resize()
    assert list(warnings.filters) == before
    assert "torchvision" not in sys.modules
