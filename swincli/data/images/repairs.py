"""What Pillow gets wrong in some files of a format: checks and repairs before and after it decodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from swincli.data.images import tiff_layout as tiff
from swincli.data.images.formats import camera_raw
from swincli.data.images.jpeg_check import JpegHeader, read_jpeg_header, require_whole_jpeg, unread_jpeg
from swincli.data.images.png_check import strip_png
from swincli.data.images.rejected import ImageError
from swincli.data.images.tiff_layout import TiffLayout, read_layout

_GREY_TYPE, _COLOUR_TYPE = 0, 2  # PNG's colour types


@dataclass(frozen=True)
class Opened:
    """A file that is ready for Pillow.

    Attributes:
        data: The bytes that Pillow reads.
        profile: The colour profile if it was read already.
        layout: Layout of a TIFF.
        header: Header of a JPEG.
        unread: The reason if Pillow does not know the file's kind; None if the file must be damaged then.
    """

    data: bytes
    profile: bytes | None = None
    layout: TiffLayout | None = None
    header: JpegHeader | None = None
    unread: str | None = None


def _as_it_is(data: bytes, _: str) -> Opened:
    return Opened(data)


def _nothing(_: ImageFile.ImageFile, __: Opened) -> None:
    pass


def _keep(image: Image.Image, _: Opened) -> Image.Image:
    return image


@dataclass(frozen=True)
class Repair:
    """Repairs of one format.

    Attributes:
        before: From the bytes and the name of a file to what Pillow reads.
        opened: Called with the opened image before its pixels are loaded.
        after: From the loaded image to the repaired image.
        noisy: Whether its library prints on standard error by itself.
    """

    before: Callable[[bytes, str], Opened] = _as_it_is
    opened: Callable[[ImageFile.ImageFile, Opened], None] = _nothing
    after: Callable[[Image.Image, Opened], Image.Image] = _keep
    noisy: bool = False


def _before_png(data: bytes, name: str) -> Opened:
    if data[12:16] == b"CgBI":
        raise ImageError(name, "unsupported: a PNG of an iPhone app (CgBI)")
    return Opened(*strip_png(data))


def _after_png(image: Image.Image, opened: Opened) -> Image.Image:
    """Bring a transparent grey or colour to the range of the pixels: Pillow leaves it at the file's bits."""
    colour = image.info.get("transparency")
    bits, kind = opened.data[24], opened.data[25]
    if kind == _GREY_TYPE and isinstance(colour, int) and bits in (2, 4, 8):
        most = 2**bits - 1
        image.info["transparency"] = (colour & most) * (255 // most)
    elif kind == _COLOUR_TYPE and isinstance(colour, tuple) and bits == 8:
        image.info["transparency"] = tuple(value & 255 for value in colour)
    elif kind == _COLOUR_TYPE and isinstance(colour, tuple):
        return _with_16_bit_transparency(image, opened.data, colour)
    return image


def _with_16_bit_transparency(image: Image.Image, data: bytes, colour: tuple[int, ...]) -> Image.Image:
    """Make pixels of a 16-bit colour transparent. `image` has the high bytes; the low ones are decoded here."""
    with Image.open(BytesIO(data), formats=("PNG",)) as low:
        low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]
        low.load()
        other = np.zeros((image.height, image.width), bool)
        for channel, value in enumerate(colour):
            other |= np.asarray(image.getchannel(channel)) != value >> 8
            other |= np.asarray(low.getchannel(channel)) != value & 255
    del image.info["transparency"]
    image.putalpha(Image.fromarray(other.astype(np.uint8) * 255))
    return image


def _before_jpeg(data: bytes, name: str) -> Opened:
    header = read_jpeg_header(data)
    kind = unread_jpeg(header)
    if kind is not None:
        raise ImageError(name, f"unsupported: {kind}, convert it to PNG")
    return Opened(data, header=header)


def _after_jpeg(image: Image.Image, opened: Opened) -> Image.Image:
    if opened.header is not None:
        require_whole_jpeg(image, opened.data, opened.header)
    return image


def _before_tiff(data: bytes, name: str) -> Opened:
    """Refuse camera raws and layouts that Pillow misreads; bring others to one that it reads."""
    layout = read_layout(data)
    if layout is None:
        return Opened(data)
    if layout.is_raw:
        raise ImageError(name, camera_raw("DNG, NEF, ARW or another raw in a TIFF"))
    reason = f"unsupported: {layout.describe()}, convert it to PNG"
    if any(is_misread(layout) for is_misread in _MISREAD):
        raise ImageError(name, reason)
    if layout.value(tiff.SAMPLES) == 1 and layout.value(tiff.PLANAR) == 2:  # one plane; Pillow mistakes its bits
        data = layout.changed(data, tiff.PLANAR, 1)
    if _is_deep_negative(layout):
        data = layout.changed(data, tiff.PHOTOMETRIC, tiff.BLACK_IS_ZERO)
    return Opened(data, layout=layout, unread=reason)


def _opened_tiff(image: ImageFile.ImageFile, opened: Opened) -> None:
    """Let Pillow read planes of 16 bits as such: without compression it takes every byte for a sample."""
    layout = opened.layout
    if layout is not None and _is_deep_planes(layout):
        deep = ";16L" if layout.order == "<" else ";16B"
        image.tile = [
            tile._replace(args=(tile.args[0] + deep, *tile.args[1:]))
            for tile in image.tile
            if isinstance(tile.args, tuple) and ";" not in tile.args[0]
        ]


def _after_tiff(image: Image.Image, opened: Opened) -> Image.Image:
    """Invert 16-bit negatives, and bring 12 bits to the range of 16."""
    layout = opened.layout
    if layout is None or not image.mode.startswith("I;16"):
        return image
    is_short = layout.value(tiff.BITS) == 12
    if not is_short and not _is_deep_negative(layout):
        return image
    pixels: NDArray[np.uint16] = np.asarray(image).astype(np.uint16)
    if is_short:
        pixels = (pixels << 4 | pixels >> 8).astype(np.uint16)
    if _is_deep_negative(layout):
        pixels = ~pixels
    repaired = Image.fromarray(pixels)
    repaired.info = image.info
    return repaired


def _is_deep_negative(layout: TiffLayout) -> bool:
    """Grey of more than 8 bits with white as zero, which Pillow does not invert."""
    is_negative = tiff.PHOTOMETRIC in layout.tags and layout.value(tiff.PHOTOMETRIC) == tiff.WHITE_IS_ZERO
    return is_negative and layout.value(tiff.BITS) in (12, 16)


def _is_deep_planes(layout: TiffLayout) -> bool:
    """Uncompressed planes of 16 bits."""
    return (
        layout.value(tiff.PLANAR) == 2
        and layout.value(tiff.SAMPLES) > 1
        and layout.value(tiff.BITS) == 16
        and layout.value(tiff.COMPRESSION) == 1
    )


def _is_signed(layout: TiffLayout) -> bool:
    return layout.value(tiff.SAMPLE_FORMAT) == 2 and layout.value(tiff.BITS) < 32


def _is_big_endian_bigtiff(layout: TiffLayout) -> bool:
    return layout.is_big and layout.order == ">"


def _is_subsampled(layout: TiffLayout) -> bool:
    """Uncompressed YCbCr with fewer samples of colour than of brightness; that is the default."""
    is_plain = layout.value(tiff.PHOTOMETRIC) == tiff.YCBCR and layout.value(tiff.COMPRESSION) == 1
    return is_plain and layout.values(tiff.SUBSAMPLING) != (1, 1)


def _is_odd_planes(layout: TiffLayout) -> bool:
    """Uncompressed planes of 16 bits other than RGB, or with the bits of each byte in reverse."""
    if layout.value(tiff.PLANAR) != 2 or layout.value(tiff.SAMPLES) == 1 or layout.value(tiff.COMPRESSION) != 1:
        return False
    is_rgb = layout.value(tiff.PHOTOMETRIC) == tiff.RGB
    return layout.value(tiff.FILL_ORDER) == 2 or (layout.value(tiff.BITS) == 16 and not is_rgb)


def _is_grey_planes(layout: TiffLayout) -> bool:
    """Compressed planes of grey and alpha."""
    is_grey = layout.value(tiff.PHOTOMETRIC) in (tiff.WHITE_IS_ZERO, tiff.BLACK_IS_ZERO)
    return is_grey and layout.value(tiff.PLANAR) == 2 and layout.value(tiff.SAMPLES) > 1


_MISREAD: Final = (_is_grey_planes, _is_signed, _is_big_endian_bigtiff, _is_subsampled, _is_odd_planes)

REPAIRS: Final = {
    "PNG": Repair(_before_png, after=_after_png),
    "JPEG": Repair(_before_jpeg, after=_after_jpeg),
    "TIFF": Repair(_before_tiff, _opened_tiff, _after_tiff, noisy=True),
}
NO_REPAIR: Final = Repair()
