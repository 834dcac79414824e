from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swincli.metrics.networks.resize import choose_resize, pillow_resize, torch_resize

CPU = torch.device("cpu")
SIZES = [(64, 64), (256, 256), (299, 299), (300, 500), (777, 64)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def difference(picture: np.ndarray, side: int) -> float:
    """The largest difference of the two implementations, of 255."""
    outcomes = [way.batch([way.single(picture)], CPU) for way in (pillow_resize(side), torch_resize(side))]
    assert all(outcome.shape == (1, 3, side, side) and outcome.dtype == torch.float32 for outcome in outcomes)
    return float((outcomes[0] - outcomes[1]).abs().max())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_both_ways_agree(height: int, width: int) -> None:
    assert difference(noise(height, width), 299) < 1e-3


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 700), width=st.integers(1, 700), side=st.integers(8, 320))
def test_both_ways_agree_at_any_size(height: int, width: int, side: int) -> None:
    steps = np.where(noise(height, width) > 127, 255, 0).astype(np.uint8)  # as far apart as pixels can be
    assert difference(steps, side) < 1e-3


def test_autocast_around_the_resize_changes_nothing() -> None:
    picture, way = noise(100, 80), torch_resize()
    plain = way.batch([picture], CPU)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(way.batch([picture], CPU), plain, rtol=0, atol=0)


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


def test_both_ways_are_one_protocol_and_another_size_is_another() -> None:
    assert choose_resize(CPU).name == choose_resize(torch.device("cuda")).name
    assert torch_resize(224).name != torch_resize(299).name


def test_pictures_stay_whole_for_cuda_which_resizes_them_itself() -> None:
    picture = noise(20, 30)
    assert choose_resize(torch.device("cuda")).single(picture) is picture
    assert choose_resize(CPU).single(picture).shape == (3, 299, 299)


def test_making_a_way_leaves_the_warning_filters_alone_and_torchvision_out() -> None:
    before = list(warnings.filters)
    pillow_resize()
    assert list(warnings.filters) == before
    assert "torchvision" not in sys.modules
