from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from swincli.data.images.crop_resize import Crop
from swincli.data.images.decode import decode, open_picture
from swincli.data.preparing import thumbnails
from swincli.data.preparing.decode_crop import DecodeOptions, decode_and_crop
from swincli.data.preparing.survey import SourceRecord

OPTIONS = DecodeOptions(16, "center", "box")


def test_a_picture_is_cropped_and_resized(encode: Any, noise: Any) -> None:
    original = noise(48, 32)
    data = encode(original)
    decoded = decode_and_crop(data, "x", OPTIONS)
    assert decoded.record == SourceRecord("x", len(data), hashlib.sha256(data).digest(), 48, 32, "RGB", "PNG")
    assert decoded.pixels is not None
    assert decoded.pixels.shape == (16, 16, 3)
    assert decoded.pixels.dtype == np.uint8
    middle = np.asarray(original, float)[:, 8:40].reshape(16, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(decoded.pixels - middle).max() <= 1
    assert decoded.encoded is None
    assert decoded.perceptual_hash is None


@pytest.mark.parametrize(("width", "height", "upscaled"), [(16, 16, False), (15, 40, True), (15, 15, True)])
def test_enlarging_is_noticed(width: int, height: int, upscaled: bool, encode: Any, noise: Any) -> None:
    assert decode_and_crop(encode(noise(width, height)), "x", OPTIONS).record.upscaled == upscaled


def test_without_cropping_only_squares_fit(encode: Any, noise: Any) -> None:
    options = DecodeOptions(16, "none", "box")
    oblong = decode_and_crop(encode(noise(20, 30)), "x", options)
    assert (oblong.pixels, oblong.record.reason) == (None, "not square: 20 x 30 px")
    assert decode_and_crop(encode(noise(20, 20)), "x", options).pixels is not None


@pytest.mark.parametrize(
    ("size", "crop", "kept"),
    [((30, 50), "center", True), ((29, 50), "center", False), ((29, 99), "none", False),
     ((50, 30), "center-wide", True), ((40, 29), "center-wide", False), ((30, 99), "center-wide", False)],
)  # fmt: skip
def test_what_would_stay_must_be_large_enough(
    size: tuple[int, int], crop: Crop, kept: bool, encode: Any, noise: Any
) -> None:
    record = decode_and_crop(encode(noise(*size)), "x", DecodeOptions(16, crop, min_size=30)).record
    assert record.reason == (None if kept else f"too small: {size[0]} x {size[1]} px")


def test_the_size_of_a_turned_picture_is_upright(encode: Any, noise: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    record = decode_and_crop(encode(noise(48, 32), "JPEG", exif=exif.tobytes()), "x", OPTIONS).record
    assert (record.width, record.height, record.kind) == (32, 48, "JPEG")


def test_an_encoded_file_and_a_perceptual_hash_come_along_when_asked_for(encode: Any, noise: Any) -> None:
    decoded = decode_and_crop(encode(noise(48, 32)), "x", DecodeOptions(16, encoding="png", hashed=True))
    assert decoded.encoded is not None
    assert decoded.pixels is not None
    assert np.array_equal(decode(decoded.encoded, "x"), decoded.pixels)
    assert decoded.perceptual_hash is not None


def test_large_jpegs_are_shrunk_while_decoding_only_where_that_cannot_be_seen(encode: Any, noise: Any) -> None:
    smooth = noise(16, 20).resize((256, 320), Image.Resampling.BICUBIC)
    data = encode(smooth, "JPEG", quality=95)
    pixels = {
        (jpeg, gamma): decode_and_crop(data, "x", DecodeOptions(16, jpeg=jpeg, gamma=gamma)).pixels
        for jpeg in ("fast", "exact")
        for gamma in ("srgb", "linear")
    }
    differences = np.abs(np.asarray(pixels["fast", "srgb"], int) - np.asarray(pixels["exact", "srgb"], int))
    assert 0 < differences.max() <= 6
    assert differences.mean() < 0.5
    assert np.array_equal(pixels["fast", "linear"], pixels["exact", "linear"])
    small, exact = (decode_and_crop(data, "x", DecodeOptions(128, jpeg=jpeg)).pixels for jpeg in ("fast", "exact"))
    assert np.array_equal(small, exact)


def test_thumbnails_of_large_jpegs_are_shrunk_while_decoding(encode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reductions = []

    def spy(data: bytes, name: str, **options: Any) -> Any:
        picture = open_picture(data, name, **options)
        reductions.append(picture.reduction)
        return picture

    monkeypatch.setattr(thumbnails, "open_picture", spy)
    smooth = Image.radial_gradient("L").resize((1600, 800)).convert("RGB")
    small = thumbnails.original_thumbnail(encode(smooth, "JPEG"), "x")
    assert (small.size, reductions) == ((96, 48), [4])
    exact = smooth.resize((96, 48), Image.Resampling.BOX)
    assert np.abs(np.asarray(small, int) - np.asarray(exact, int)).mean() < 1
