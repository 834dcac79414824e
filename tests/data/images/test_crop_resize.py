from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from swincli.data.images.crop_resize import Crop, Filter, Region, choose_region, crop_and_resize
from swincli.data.images.decode import Picture, decode, open_picture

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"]
FILTERS: list[Filter] = ["lanczos", "box", "bicubic", "bilinear"]
CROPS: list[Crop] = ["center", "center-wide", "random"]


def picture(image: Image.Image) -> Picture:
    return Picture(image, image.width, image.height, "RGB", "PNG", 1)


def squeeze(image: Image.Image, resolution: int, filter_name: Filter, **options: Any) -> NDArray[np.int64]:
    whole = Region(0, 0, *image.size)
    return crop_and_resize(picture(image), whole, resolution, filter_name, **options).astype(int)


def test_the_crop_is_central() -> None:
    assert choose_region(8, 3, "center", b"") == Region(2, 0, 3, 3)
    assert choose_region(3, 8, "center", b"") == Region(0, 2, 3, 3)
    assert choose_region(5, 5, "none", b"") == Region(0, 0, 5, 5)


def test_a_wide_crop_is_four_by_three() -> None:
    assert choose_region(1600, 900, "center-wide", b"") == Region(200, 0, 1200, 900)
    assert choose_region(400, 1000, "center-wide", b"") == Region(0, 350, 400, 300)
    assert choose_region(640, 480, "center-wide", b"") == Region(0, 0, 640, 480)


@settings(max_examples=60)
@given(st.integers(1, 3000), st.integers(1, 3000), st.binary(min_size=32, max_size=32), st.sampled_from(CROPS))
def test_a_region_lies_inside_its_picture(width: int, height: int, digest: bytes, crop: Crop) -> None:
    region = choose_region(width, height, crop, digest)
    assert min(region.left, region.top) >= 0
    assert min(region.width, region.height) >= 1
    assert region.left + region.width <= width
    assert region.top + region.height <= height
    if crop != "center-wide":
        assert region.width == region.height == min(width, height)


def test_random_crops_reach_everywhere_and_depend_on_the_picture_alone() -> None:
    lefts = {choose_region(12, 4, "random", bytes(8) + bytes([0] * 7 + [last]) + bytes(16)).left for last in range(50)}
    assert lefts == set(range(9))
    digest = bytes(range(32))
    assert choose_region(900, 4, "random", digest) == choose_region(900, 4, "random", digest)


def test_wide_pictures_lie_between_black_bars(noise: Callable[..., Image.Image]) -> None:
    original = noise(64, 48)
    got = squeeze(original, 16, "box")
    assert got.shape == (16, 16, 3)
    assert not got[:2].any()
    assert not got[14:].any()
    wanted = np.asarray(original, float).reshape(12, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(got[2:14] - wanted).max() <= 1


@pytest.mark.parametrize("filter_name", FILTERS)
def test_resizing_is_antialiased(filter_name: Filter) -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small = squeeze(Image.fromarray(stripes), 32, filter_name)
    assert np.abs(small - 127).max() <= 8  # without it a stripe would be hit or missed: 127 away


def test_the_filters_differ(noise: Callable[..., Image.Image]) -> None:
    results = {name: squeeze(noise(50, 50), 16, name) for name in FILTERS}
    mean = np.asarray(noise(64, 64), float).reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(squeeze(noise(64, 64), 16, "box") - mean).max() <= 1
    for one in FILTERS:
        for other in FILTERS:
            assert one == other or np.abs(results[one] - results[other]).max() > 1


def test_linear_light_keeps_the_brightness_of_fine_detail() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    image = Image.fromarray(stripes)
    assert np.abs(squeeze(image, 16, "box") - 128).max() <= 1
    assert np.abs(squeeze(image, 16, "box", gamma="linear") - 188).max() <= 1  # half the light, in sRGB


@pytest.mark.parametrize("filter_name", FILTERS)
def test_linear_light_leaves_flat_colours_alone(filter_name: Filter) -> None:
    for value in range(0, 256, 15):
        flat = squeeze(Image.new("RGB", (24, 24), (value, 255 - value, 7)), 16, filter_name, gamma="linear")
        assert np.array_equal(np.unique(flat.reshape(-1, 3), axis=0), [[value, 255 - value, 7]])


@pytest.mark.parametrize(("left", "top"), [(0, 0), (16, 8), (13, 5)])
def test_a_region_is_found_in_a_picture_that_was_shrunk_while_decoding(left: int, top: int, encode: Any) -> None:
    rows, columns = np.mgrid[0:256, 0:320]
    smooth = np.stack([columns * 0.79, rows * 0.99, 255 - columns * 0.79], -1).astype(np.uint8)
    data = encode(Image.fromarray(smooth), "JPEG", quality=98, subsampling=0)
    whole, shrunk = open_picture(data, "x"), open_picture(data, "x", enough=64)
    assert (shrunk.reduction, shrunk.image.size) == (4, (80, 64))
    region = Region(left, top, 240, 240)
    difference = crop_and_resize(whole, region, 16, "bicubic").astype(int) - crop_and_resize(
        shrunk, region, 16, "bicubic"
    )
    assert np.abs(difference).max() <= 2
    assert np.abs(difference.mean((0, 1))).max() < 0.1  # a pixel further would be 0.8 levels, and there are three more


@settings(max_examples=60)
@given(
    mode=st.sampled_from(MODES),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    resolution=st.sampled_from([16, 32]),
    filter_name=st.sampled_from(FILTERS),
    crop=st.sampled_from(CROPS),
)
def test_any_mode_and_size_becomes_an_rgb_square(
    mode: str, width: int, height: int, resolution: int, filter_name: Filter, crop: Crop
) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG" if mode in ("1", "L", "LA", "P", "RGB", "RGBA") else "TIFF")
    image = decode(buffer.getvalue(), "x")
    assert (image.mode, image.size) == ("RGB", (width, height))
    square = crop_and_resize(picture(image), choose_region(width, height, crop, bytes(32)), resolution, filter_name)
    assert (square.shape, square.dtype) == ((resolution, resolution, 3), np.uint8)
