"""Formats: AVIF and HEIC, camera raws, and what is recognised but not read."""

from __future__ import annotations

import struct
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, features
from tiff_files import write_tiff

from swincli.data.images import formats
from swincli.data.images.decode import decode, open_picture
from swincli.data.images.formats import IMAGE_FORMATS, SUFFIXES, list_formats, require_image
from swincli.data.images.rejected import ImageError, Rejected

HEIC = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic"
NEEDS_PACKAGE = 'HEIC, pip install "swincli[heif]" reads it'


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, "x")
    return caught.value.reason


def brands(major: bytes, *others: bytes) -> bytes:
    """The first box of an ISO media file."""
    content = b"ftyp" + major + b"\0\0\0\0" + b"".join(others)
    return struct.pack(">I", 4 + len(content)) + content


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read(encode: Any) -> None:
    red = Image.new("RGB", (32, 16), (200, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = open_picture(encode(red, "AVIF", quality=90, exif=exif.tobytes()), "x")
    assert (picture.kind, picture.width, picture.height) == ("AVIF", 16, 32)
    assert np.abs(np.asarray(picture.image, int) - (200, 30, 40)).max() <= 6
    data = encode(red, "AVIF")
    assert reason_of(data[: len(data) // 2]).startswith("damaged: ")


class PretendHeif(ImageFile.ImageFile):
    """Stands in for pillow-heif's plugin."""

    format = "HEIF"

    def _open(self) -> None:
        self._size, self._mode = (6, 4), "RGB"
        self.tile = []
        self.im = Image.new("RGB", (6, 4), (1, 2, 3)).im


@pytest.fixture
def pretend_heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    """A module `pillow_heif`; the arguments of each registration."""
    calls: list[dict[str, object]] = []

    def register_heif_opener(**options: object) -> None:
        calls.append(options)
        Image.register_open("HEIF", PretendHeif, lambda head: head[4:8] == b"ftyp")

    module = types.ModuleType("pillow_heif")
    module.register_heif_opener = register_heif_opener  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    formats._add_to_pillow.cache_clear()
    yield calls
    formats._add_to_pillow.cache_clear()
    Image.OPEN.pop("HEIF", None)
    Image.ID[:] = [name for name in Image.ID if name != "HEIF"]


def test_heic_is_read_with_its_package(pretend_heif: list[dict[str, object]]) -> None:
    for _ in range(2):
        picture = open_picture(HEIC, "IMG_0001.jpg")
        assert (picture.kind, picture.width, picture.height) == ("HEIF", 6, 4)
    assert len(pretend_heif) == 1


def test_a_real_heic_is_read(encode: Any) -> None:
    pytest.importorskip("pillow_heif")
    formats._add_to_pillow.cache_clear()
    require_image(HEIC, "x")  # registers the plugin, which also writes
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(Image.new("RGB", (128, 64), (200, 30, 40)), "HEIF", quality=90, exif=exif.tobytes())
    picture = open_picture(data, "IMG_0001.HEIC")
    assert (picture.kind, picture.width, picture.height) == ("HEIF", 64, 128)
    assert np.abs(np.asarray(picture.image, int) - (200, 30, 40)).max() <= 8
    assert reason_of(data[: len(data) // 2]).startswith("damaged: ")


def test_heic_names_its_package_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    formats._add_to_pillow.cache_clear()
    assert reason_of(HEIC) == NEEDS_PACKAGE
    assert Rejected("x", NEEDS_PACKAGE).kind == NEEDS_PACKAGE  # the summary shows the way out
    formats._add_to_pillow.cache_clear()


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (brands(b"avif", b"mif1"), "AVIF"), (brands(b"avis", b"msf1"), "AVIF"),
        (brands(b"mif1", b"miaf", b"avif"), "AVIF"), (brands(b"mif1", b"heic", b"miaf"), "HEIC"),
        (brands(b"heix", b"mif1"), "HEIC"), (brands(b"msf1", b"hevc"), "HEIC"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("pretend_heif")
def test_brands_tell_heic_from_avif(head: bytes, name: str) -> None:
    assert require_image(head, "x").name == name


@pytest.mark.parametrize(
    "head", [brands(b"isom", b"mp41"), brands(b"qt  "), b"BMW is a car, and this is a text.", b"BM"]
)
def test_videos_and_texts_are_no_images(head: bytes) -> None:
    assert reason_of(head).startswith("not an image")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (brands(b"crx ", b"crx ", b"isom"), "camera raw, develop it first: Canon CR3"),
        (b"II*\0\x10\0\0\0CR\x02\0", "camera raw, develop it first: Canon CR2"),
        (b"IIRO\x08\0\0\0", "camera raw, develop it first: Olympus ORF"),
        (b"IIU\0\x18\0\0\0", "camera raw, develop it first: Panasonic RW2"),
        (b"FUJIFILMCCD-RAW 0201", "camera raw, develop it first: Fujifilm RAF"),
        (b"FOVb\x03\0\3\0", "camera raw, develop it first: Sigma X3F"),
        (b"\0MRM\0\0", "camera raw, develop it first: Minolta MRW"),
        (b"II*\0\x08\0\0\0IIII", "camera raw, develop it first: Phase One IIQ"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL, convert it first: djxl IN.jxl OUT.png"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL, convert it first: djxl IN.jxl OUT.png"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "unsupported: JPEG 2000, convert it to PNG"),
        (b"II\xbc\x01", "unsupported: JPEG XR, convert it to PNG"),
        (b"8BPS\0\x01", "unsupported: a Photoshop file, export it as PNG"),
        (b"v/1\x01\x02\0", "unsupported: OpenEXR, convert it to PNG"),
    ],
)
def test_other_kinds_are_named(head: bytes, kind: str) -> None:
    assert reason_of(head.ljust(80, b"\0")) == kind


def with_sub_directory(order: str, photometric: int) -> bytes:
    """A TIFF with a small picture, and a further directory inside it, as most raws are built."""
    sub = struct.pack(f"{order}HHHIHHI", 1, 262, 3, 1, photometric, 0, 0)
    data = write_tiff(
        np.zeros((8, 8, 3), np.uint8),
        photometric=2,
        bits=8,
        order=order,
        tags={330: (4, (0,))},  # type: ignore[arg-type]
    )
    entry = data.index(struct.pack(f"{order}HHII", 330, 4, 1, 0))
    return data[: entry + 8] + struct.pack(f"{order}I", len(data)) + data[entry + 12 :] + sub


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_raw_inside_a_tiff_is_found(order: Any) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    for photometric in (32803, 34892):
        assert reason_of(with_sub_directory(order, photometric)).startswith("camera raw, develop it first: ")
    dng = write_tiff(pixels, photometric=2, bits=8, order=order, tags={50706: (1, (1, 4, 0, 0))})
    assert Rejected("x", reason_of(dng)).kind == "camera raw, develop it first"
    assert decode(with_sub_directory(order, 2), "x").size == (8, 8)  # a pyramid is not a raw


def test_directories_in_a_circle_end() -> None:
    data = write_tiff(np.zeros((8, 8, 1), np.uint8), photometric=1, bits=8, tags={330: (4, (8,) * 60)})
    assert decode(data, "x").size == (8, 8)


def test_the_list_of_formats() -> None:
    assert list_formats("or") == "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC"
    assert {".heic", ".heif", ".avif", ".jpg"} <= SUFFIXES
    assert len({row.pillow_name for row in IMAGE_FORMATS}) == len(IMAGE_FORMATS)
