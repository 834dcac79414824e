"""PNGs: chunks that do not matter are passed over, transparent colours keep their meaning at every depth."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from swincli.data.images.decode import decode, open_picture
from swincli.data.images.rejected import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes, *, wrong: bool = False) -> bytes:
    checksum = zlib.crc32(kind + content) ^ wrong
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(rows: list[bytes], width: int, bits: int, colour_type: int, *chunks: bytes, last: bytes = b"") -> bytes:
    """A PNG of packed rows, with more chunks before and after its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return SIGNATURE + header + b"".join(chunks) + pixels + last + chunk(b"IEND", b"")


def grey_png(*chunks: bytes, last: bytes = b"") -> bytes:
    return png([bytes([9, 200])], 2, 8, 0, *chunks, last=last)


def first_row(data: bytes) -> list[list[int]]:
    row: list[list[int]] = np.asarray(decode(data, "x"))[0].tolist()
    return row


@pytest.mark.parametrize(
    "kind", [b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"cHRM", b"pHYs", b"sRGB", b"tIME", b"eXIf", b"prVt"]
)
def test_a_chunk_that_does_not_matter_may_be_damaged(kind: bytes) -> None:
    expected = [[9, 9, 9], [200, 200, 200]]
    for damaged in (chunk(kind, b"key\0\0\0\0\0x" * 3, wrong=True), chunk(kind, b"")):
        assert first_row(grey_png(damaged)) == expected
        assert first_row(grey_png(last=damaged)) == expected


@pytest.mark.parametrize("zipped", [False, True])
def test_a_long_text_is_passed_over(zipped: bool, encode: Any, noise: Any) -> None:
    workflow = PngInfo()
    for number in range(2):
        workflow.add_itxt(f"workflow {number}", "node " * 300_000, zip=zipped)
    original = noise(8, 8)
    assert np.array_equal(decode(encode(original, pnginfo=workflow), "x"), original)


def test_a_wrong_checksum_of_what_decides_pixels_is_damage() -> None:
    with pytest.raises(ImageError, match="damaged: the checksum of its tRNS is wrong"):
        decode(grey_png(chunk(b"tRNS", b"\0\x09", wrong=True)), "x")


def test_a_damaged_or_long_profile_is_ignored_or_read() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    packed = b"name\0\0" + zlib.compress(profile + bytes(2**21))
    for content in (packed, b"name\0\0nonsense", b"name", b"name\0\x07" + packed[6:], packed[:60]):
        assert first_row(grey_png(chunk(b"iCCP", content))) == [[9, 9, 9], [200, 200, 200]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_is_found_at_every_depth(bits: int) -> None:
    most = 2**bits - 1
    transparent, other = most // 3, most
    pixels = {
        1: [0b01000000], 2: [0b01110000], 4: [0x5F], 8: [85, 255], 16: [0x55, 0x55, 0xFF, 0xFF],
    }[bits]  # fmt: skip
    trns = chunk(b"tRNS", struct.pack(">H", transparent))
    data = png([bytes(pixels)], 2, bits, 0, trns)
    blue = np.asarray(open_picture(data, "x", background=(0, 0, 255)).image)[0].tolist()
    assert blue == [[0, 0, 255], [other * 255 // most] * 3]


def test_a_transparent_grey_of_16_bits_is_compared_whole() -> None:
    data = png([struct.pack(">2H", 0x5555, 0x5556)], 2, 16, 0, chunk(b"tRNS", b"\x55\x55"))
    assert first_row(data) == [[255, 255, 255], [85, 85, 85]]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_colour_is_compared_whole(bits: int) -> None:
    letter = "B" if bits == 8 else "H"
    scale = 1 if bits == 8 else 257
    one, other = [10 * scale, 20 * scale, 30 * scale], [10 * scale, 20 * scale, 30 * scale + 1]
    row = struct.pack(f">6{letter}", *one, *other)
    data = png([row], 2, bits, 2, chunk(b"tRNS", struct.pack(">3H", *one)))
    assert first_row(data) == [[255, 255, 255], [10, 20, 31 if bits == 8 else 30]]


def test_an_ios_png_is_named() -> None:
    data = SIGNATURE + chunk(b"CgBI", b"\x50\0\x20\x02") + grey_png()[8:]
    with pytest.raises(ImageError, match=r"unsupported: a PNG of an iPhone app"):
        decode(data, "x")


def test_an_animation_shows_its_default_image(encode: Any) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    for default in (False, True):
        data = encode(frames[0], save_all=True, append_images=frames[1:], default_image=default)
        assert first_row(data)[0] == [255, 0, 0]


def test_exif_of_a_png_is_read_in_both_places(encode: Any) -> None:
    tall = Image.new("RGB", (4, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    new = encode(tall, exif=exif.tobytes())
    content = exif.tobytes().hex()
    info = PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(content) // 2:8}\n{content}\n", zip=True)
    old = encode(tall, pnginfo=info)
    for data in (new, old):
        assert decode(data, "x").size == (8, 4)
    with Image.open(io.BytesIO(old)) as opened:
        assert "Raw profile type exif" in opened.text
