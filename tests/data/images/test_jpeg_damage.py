"""JPEGs with missing or zeroed data are damaged; whole ones, however odd, are not."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from swincli.data.images.decode import decode, open_picture
from swincli.data.images.rejected import ImageError


@cache
def photograph(side: int = 320) -> Image.Image:
    """Smooth shapes with some grain, as in a photograph."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (side // 20, side // 20, 3), np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), float)
    return Image.fromarray((smooth + random.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8))


@cache
def jpeg(image_name: str = "photograph", **options: Any) -> bytes:
    image = {
        "photograph": photograph(),
        "grey": photograph().convert("L"),
        "CMYK": photograph().convert("CMYK"),
        "flat": Image.new("RGB", (320, 320), (128, 128, 128)),
        "black": Image.new("RGB", (3200, 3200)),
        "grey end": grey_end(),
    }[image_name]
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 90} | options)
    return buffer.getvalue()


def grey_end() -> Image.Image:
    """A photograph whose lower half is the grey that libjpeg fills in."""
    image = photograph().copy()
    ImageDraw.Draw(image).rectangle((0, 160, 320, 320), fill=(128, 128, 128))
    return image


def without_middle(data: bytes, share: float) -> bytes:
    middle, gap = len(data) // 2, int(len(data) * share)
    return data[:middle] + data[middle + gap :]


def with_zeros(data: bytes, share: float, start: float = 0.4) -> bytes:
    at, gap = int(len(data) * start), int(len(data) * share)
    return data[:at] + bytes(gap) + data[at + gap :]


def reason(data: bytes, enough: int | None = None) -> str | None:
    try:
        open_picture(data, "x", enough=enough)
    except ImageError as error:
        return error.reason
    return None


OPTIONS: list[dict[str, Any]] = [
    {}, {"optimize": True}, {"subsampling": 0}, {"progressive": True}, {"restart_marker_blocks": 7},
    {"restart_marker_rows": 1}, {"quality": 30}, {"quality": 100},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", ["photograph", "grey", "CMYK", "flat", "grey end"])
def test_whole_files_pass(name: str, options: dict[str, Any]) -> None:
    data = jpeg(name, **options)
    for enough in (None, 32):
        assert reason(data, enough) is None
    assert reason(data + bytes(5000), 32) is None  # cameras write after the end
    assert reason(data + data, 32) is None
    assert reason(data[:-2] + bytes(5000) + data[-2:], 32) is None  # and pad before it


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
def test_a_flat_picture_is_coded_by_zeros_and_passes(options: dict[str, Any]) -> None:
    assert reason(jpeg("black", **options), 64) is None


@pytest.mark.parametrize("name", ["photograph", "grey", "CMYK"])
@pytest.mark.parametrize("options", [option for option in OPTIONS if "progressive" not in option])
def test_a_missing_middle_is_damage(name: str, options: dict[str, Any]) -> None:
    for share in (0.1, 0.3):
        data = without_middle(jpeg(name, **options), share)
        for enough in (None, 32):
            assert reason(data, enough) == "damaged: a part of its data is missing"


@pytest.mark.parametrize("name", ["photograph", "grey", "CMYK"])
@pytest.mark.parametrize("options", [option for option in OPTIONS if "progressive" not in option])
def test_a_middle_of_zeros_is_damage(name: str, options: dict[str, Any]) -> None:
    for share in (0.1, 0.3):
        for enough in (None, 32):
            found = reason(with_zeros(jpeg(name, **options), share), enough)
            assert found is not None
            assert found.startswith("damaged: a part of its data is ")


def test_zeros_at_the_end_without_an_end_marker_are_damage() -> None:
    data = jpeg()
    half = data[: len(data) // 2]
    assert reason(half + bytes(len(data) - len(half))) is not None


def test_what_libjpeg_does_not_read_is_named() -> None:
    data = bytearray(jpeg())
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 12
    assert reason(bytes(data)) == "unsupported: a JPEG of 12 bits, convert it to PNG"
    data[frame + 4], data[frame + 1] = 8, 0xC3
    assert reason(bytes(data)) == "unsupported: a lossless JPEG, convert it to PNG"
    data[frame + 1] = 0xF7
    assert reason(bytes(data)) == "unsupported: JPEG-LS, convert it to PNG"


def test_several_pictures_in_one_file_pass(encode: Any) -> None:
    for options in ({}, {"restart_marker_rows": 1}):
        data = encode(photograph(), "MPO", save_all=True, append_images=[grey_end()], **options)
        assert reason(data) is None
        assert open_picture(data, "x").kind == "MPO"


def test_pixels_of_a_whole_file_are_those_of_pillow() -> None:
    with Image.open(io.BytesIO(jpeg())) as image:
        assert np.array_equal(decode(jpeg(), "x"), image)
