from __future__ import annotations

import io
import struct
import warnings
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from profiles import linear_profile

from swincli.data.images import decode as decode_module
from swincli.data.images.colour import parse_colour, spell_colour
from swincli.data.images.decode import decode, open_picture
from swincli.data.images.rejected import ImageError
from swincli.errors import DataError

KINDS = ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"]
SIGNATURES = [
    b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\x20\0\0\0WEBPVP8 ", b"II*\0", b"MM\0*", b"II+\0", b"BM",
    b"GIF89a",
]  # fmt: skip
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"]


@cache
def gradient(side: int, kind: str) -> bytes:
    """A file of a smooth image."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, "some/name")
    assert caught.value.message == f"some/name: {caught.value.reason}"
    return caught.value.reason


def colour_of(data: bytes) -> tuple[int, ...]:
    image = decode(data, "x")
    assert image.mode == "RGB"
    pixel = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read(kind: str, encode: Any) -> None:
    red = Image.new("RGB", (12, 8), (200, 30, 40))
    image = decode(encode(red, kind), "x")
    assert (image.mode, image.size) == ("RGB", (12, 8))
    assert np.abs(np.asarray(image, int) - (200, 30, 40)).max() <= 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_pixels_arrive_unchanged(kind: str, encode: Any, noise: Any) -> None:
    original = noise(17, 9)
    assert np.array_equal(decode(encode(original, kind), "x"), original)


def test_grey_becomes_three_equal_channels(encode: Any) -> None:
    assert colour_of(encode(Image.new("L", (4, 4), 77))) == (77, 77, 77)


def test_bilevel(encode: Any) -> None:
    assert colour_of(encode(Image.new("1", (4, 4), 1))) == (255, 255, 255)
    assert colour_of(encode(Image.new("1", (4, 4), 0))) == (0, 0, 0)


def test_palette_and_its_transparency(encode: Any) -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert colour_of(encode(palette)) == (10, 200, 30)
    assert colour_of(encode(palette, transparency=1)) == (255, 255, 255)
    assert colour_of(encode(palette, transparency=bytes([255, 0]))) == (255, 255, 255)


def test_transparency_is_laid_over_white(encode: Any) -> None:
    assert colour_of(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))) == (255, 255, 255)
    assert colour_of(encode(Image.new("RGBA", (4, 4), (200, 0, 100, 128)))) == pytest.approx((227, 127, 177), abs=1)
    assert colour_of(encode(Image.new("LA", (4, 4), (0, 51)))) == (204, 204, 204)
    assert colour_of(encode(Image.new("RGBA", (4, 4), (9, 8, 7, 0)), "WEBP", lossless=True)) == (255, 255, 255)
    assert colour_of(encode(Image.new("RGB", (4, 4), (1, 2, 3)), transparency=(1, 2, 3))) == (255, 255, 255)


def test_cmyk(encode: Any) -> None:
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for kind in ("JPEG", "TIFF"):
        red, green, blue = colour_of(encode(ink, kind))
        assert red > 200
        assert max(green, blue) < 60


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(kind: str, encode: Any) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    got = np.asarray(decode(encode(Image.fromarray(ramp), kind), "x"), int)[..., 0].ravel()
    assert np.abs(got - np.arange(256)).max() <= 1
    assert (got[0], got[-1]) == (0, 255)


def test_sixteen_bit_colour() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + struct.pack(">HHH", 65535, 32896, 257)
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    png = SIGNATURES[1] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert colour_of(png) == (255, 128, 1)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_pixels_are_refused_rather_than_guessed(mode: str, encode: Any) -> None:
    assert "32-bit" in reason_of(encode(Image.new(mode, (4, 4), 1), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(kind: str, orientation: int, encode: Any) -> None:
    upright = Image.new("RGB", (32, 16), "white")
    upright.paste((200, 0, 0), (0, 0, 16, 8))
    lay_down = {
        1: lambda image: image,
        2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
        4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
        6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
        7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encode(lay_down(upright), kind, exif=exif.tobytes()), "x")
    assert image.size == upright.size
    assert np.abs(np.asarray(image, int) - np.asarray(upright, int)).mean() < 12


@pytest.mark.parametrize(("mode", "space"), [("RGB", b"RGB "), ("RGBA", b"RGB "), ("P", b"RGB "), ("L", b"GRAY")])
def test_a_foreign_colour_profile_is_converted(mode: str, space: bytes, encode: Any) -> None:
    half = Image.new("RGB", (8, 8), (128, 128, 128)).convert(mode, palette=Image.Palette.ADAPTIVE)
    assert colour_of(encode(half, icc_profile=linear_profile(space))) == pytest.approx((188, 188, 188), abs=2)


def test_srgb_and_unusable_profiles_leave_pixels_alone(encode: Any, noise: Any) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    original = noise(8, 8)
    for profile in (srgb, b"nonsense", srgb[:200]):
        assert np.array_equal(decode(encode(original, icc_profile=profile), "x"), original)
    grey = Image.new("L", (8, 8), 99)  # with a profile for colour
    assert colour_of(encode(grey, icc_profile=srgb)) == (99, 99, 99)


def test_only_the_first_frame_counts(encode: Any) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        red, green, blue = colour_of(encode(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert red > 240
        assert max(green, blue) < 15


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_damaged(kind: str, encode: Any, noise: Any) -> None:
    data = encode(noise(64, 64), kind)
    assert reason_of(data[: len(data) // 2]).startswith("damaged: ")
    assert reason_of(data[:20]).startswith("damaged: ")


def test_what_is_no_image(encode: Any) -> None:
    assert reason_of(b"hello, world").startswith("not an image")
    assert reason_of(b"") == "empty file"
    assert reason_of(b"RIFF\0\0\0\0WAVEfmt ").startswith("not an image")
    assert reason_of(encode(Image.new("RGB", (4, 4)), "PPM")).startswith("not an image")


def test_a_reason_is_the_same_every_time() -> None:
    for signature in SIGNATURES:
        assert len({reason_of(signature + b"\0" * 40) for _ in range(3)}) == 1
        assert "0x" not in reason_of(signature + b"\0" * 40)


def test_too_many_pixels_are_refused_before_they_are_unpacked(encode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.new("L", (60, 60)))
    monkeypatch.setattr(decode_module, "LARGEST_PIXELS", 3600)
    decode(data, "x")
    monkeypatch.setattr(decode_module, "LARGEST_PIXELS", 3599)
    assert "decompression bomb" in reason_of(data)


def test_a_real_decompression_bomb_is_refused(encode: Any) -> None:
    header = bytearray(encode(Image.new("L", (1, 1)), "BMP"))
    header[18:26] = struct.pack("<ii", 60_000, 60_000)
    assert "decompression bomb" in reason_of(bytes(header))


def test_warnings_do_not_leak(encode: Any) -> None:
    palette = Image.new("P", (100, 100))
    odd = encode(palette, transparency=bytes([0, 255]))
    exif = encode(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff garbage")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(odd, "x")
        assert decode(exif, "x").size == (8, 8)
    assert not caught


@settings(max_examples=60)
@given(head=st.sampled_from(SIGNATURES), tail=st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_data_errors(head: bytes, tail: bytes) -> None:
    try:
        image = decode(head + tail, "x")
    except DataError:
        return
    assert image.mode == "RGB"


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(24, 10**6), st.integers(0, 255)), max_size=6))
def test_damaged_files_raise_nothing_but_data_errors(kind: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(gradient(24, kind))
    for position, value in changes:
        data[max(26, position % len(data))] = value  # sizes stay: a huge one takes its time before it fails
    try:
        image = decode(bytes(data), "x")
    except DataError:
        return
    assert image.mode == "RGB"


def test_what_a_file_was_is_told(encode: Any, noise: Any) -> None:
    for mode, kind in (("L", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("RGB", "WEBP"), ("1", "TIFF"), ("LA", "PNG")):
        picture = open_picture(encode(noise(30, 20).convert(mode), kind), "x")
        assert (picture.mode, picture.kind, picture.width, picture.height) == (mode, kind, 30, 20)
        assert (picture.image.mode, picture.image.size) == ("RGB", (30, 20))


def test_the_background_can_be_chosen(encode: Any) -> None:
    clear = encode(Image.new("RGBA", (4, 4), (200, 0, 100, 128)))
    blue = open_picture(clear, "x", background=(0, 0, 255)).image.getpixel((1, 1))
    assert blue == pytest.approx((100, 0, 177), abs=1)


@pytest.mark.parametrize(("size", "reduction"), [((512, 800), 8), ((511, 800), 1), ((256, 264), 4), ((130, 128), 2)])
def test_only_jpegs_that_divide_are_shrunk(size: tuple[int, int], reduction: int, encode: Any) -> None:
    image = Image.new("RGB", size, (10, 200, 30))
    picture = open_picture(encode(image, "JPEG"), "x", enough=64)
    assert picture.reduction == reduction
    assert (picture.width, picture.height) == size
    assert picture.image.size == (size[0] // reduction, size[1] // reduction)
    assert open_picture(encode(image, "PNG"), "x", enough=64).reduction == 1
    assert open_picture(encode(image, "JPEG"), "x").reduction == 1


def test_a_truncated_jpeg_is_damaged_even_where_it_is_shrunk(encode: Any, noise: Any) -> None:
    data = encode(noise(256, 256), "JPEG")
    with pytest.raises(ImageError, match="damaged: "):
        open_picture(data[: len(data) // 2], "x", enough=32)


@pytest.mark.parametrize(
    ("text", "colour"),
    [("white", (255, 255, 255)), ("#102030", (16, 32, 48)), ("102030", (16, 32, 48)), ("f00", (255, 0, 0))],
)
def test_colours_are_read(text: str, colour: tuple[int, int, int]) -> None:
    assert parse_colour(text) == colour
    assert parse_colour(spell_colour(colour)) == colour


@pytest.mark.parametrize("text", ["", "#", "transparent", "12345", "#11223344", "rgb(1,2", "no colour"])
def test_what_is_no_colour(text: str) -> None:
    with pytest.raises(ValueError, match="is not a colour"):
        parse_colour(text)


def test_a_png_with_a_wrong_checksum_is_damaged_and_not_black(encode: Any, noise: Any) -> None:
    data = encode(noise(64, 64))
    place = data.index(b"IDAT") + 5000
    changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    assert reason_of(changed) == "damaged: the checksum of its IDAT is wrong"
    assert reason_of(data[:-12]) == "damaged: it is cut short"
    assert decode(data + b"something after its end", "x").size == (64, 64)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 4000))
def test_a_png_with_other_bytes_in_it_is_never_half_black(content: bytes, place: int) -> None:
    data = gradient(48, "PNG")
    original = Image.open(io.BytesIO(data))
    place %= len(data)
    try:
        image = decode(data[:place] + content + data[place + len(content) :], "x")
    except DataError:
        return
    assert np.array_equal(image, original)
