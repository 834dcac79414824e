"""Fuzzing of decode and crop: truncated, changed and random bytes."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from tiff_files import write_tiff

from swincli.data.preparing.decode_crop import DecodeOptions, decode_and_crop

OPTIONS = [
    DecodeOptions(16),
    DecodeOptions(16, "random", "box", gamma="linear"),
    DecodeOptions(32, "center-wide", min_size=8, jpeg="exact"),
]
KINDS = [
    "JPEG", "progressive", "CMYK", "PNG", "palette", "16 bit", "bilevel", "WEBP", "lossless", "TIFF", "LZW", "BMP",
    "GIF", "animated", "AVIF", "negative", "planes",
]  # fmt: skip


@cache
def real(kind: str) -> bytes:
    """A file of 80 x 64 px, with orientation, colour profile or transparency."""
    deep_samples = np.random.default_rng(0).integers(0, 2**16, (64, 80, 3), np.uint16)
    if kind == "negative":
        return write_tiff(deep_samples[..., :1], photometric=0, bits=16, order=">", compression=8)
    if kind == "planes":
        return write_tiff(deep_samples, photometric=2, bits=16, planar=2, rows=20)
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)).resize((80, 64))
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    clear = smooth.convert("RGBA")
    clear.putalpha(120)
    deep = Image.fromarray(np.asarray(smooth.convert("L")).astype(np.uint16) * 257)
    image, name, options = {
        "JPEG": (smooth, "JPEG", {"exif": exif, "icc_profile": profile}),
        "progressive": (smooth, "JPEG", {"progressive": True}),
        "CMYK": (smooth.convert("CMYK"), "JPEG", {}),
        "PNG": (clear, "PNG", {"exif": exif, "icc_profile": profile}),
        "palette": (smooth.convert("P"), "PNG", {"transparency": 3}),
        "16 bit": (deep, "PNG", {}),
        "bilevel": (smooth.convert("1"), "PNG", {}),
        "WEBP": (clear, "WEBP", {"exif": exif}),
        "lossless": (smooth, "WEBP", {"lossless": True}),
        "TIFF": (smooth, "TIFF", {"icc_profile": profile}),
        "LZW": (clear, "TIFF", {"compression": "tiff_lzw"}),
        "BMP": (smooth, "BMP", {}),
        "GIF": (smooth.convert("P"), "GIF", {"transparency": 1}),
        "animated": (smooth, "GIF", {"save_all": True, "append_images": [clear]}),
        "AVIF": (smooth, "AVIF", {"speed": 10}),
    }[kind]
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def check(data: bytes, options: DecodeOptions) -> None:
    """It becomes a square, or a reason that is the same every time."""
    outcome = decode_and_crop(data, "x", options)
    if outcome.pixels is None:
        assert outcome.record.reason
        assert outcome.record.reason == decode_and_crop(data, "x", options).record.reason
    else:
        assert (outcome.pixels.shape, outcome.pixels.dtype) == ((options.resolution, options.resolution, 3), np.uint8)
        assert outcome.record.reason is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_pictures_are_good(kind: str) -> None:
    assert decode_and_crop(real(kind), "x", DecodeOptions(16)).record.reason is None


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(kept=st.integers(0, 10**6), options=st.sampled_from(OPTIONS))
def test_truncated_pictures(kind: str, kept: int, options: DecodeOptions) -> None:
    data = real(kind)
    check(data[: kept % len(data)], options)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), min_size=1, max_size=20),
    options=st.sampled_from(OPTIONS),
)
def test_pictures_with_flipped_bits(kind: str, flips: list[tuple[int, int]], options: DecodeOptions) -> None:
    data = bytearray(real(kind))
    for position, bit in flips:
        data[position % len(data)] ^= 1 << bit
    check(bytes(data), options)


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    kept=st.integers(8, 200),
    tail=st.binary(max_size=300),
    options=st.sampled_from(OPTIONS),
)
def test_real_heads_with_random_bytes_after_them(kind: str, kept: int, tail: bytes, options: DecodeOptions) -> None:
    check(real(kind)[:kept] + tail, options)
