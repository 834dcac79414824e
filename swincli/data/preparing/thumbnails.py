"""Thumbnails for the report and the contact sheet, read from the source again after preparing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from swincli.data.images.decode import open_picture
from swincli.data.images.rejected import ImageError
from swincli.data.preparing.decode_crop import DecodeOptions, decode_and_crop
from swincli.data.sources.entries import Entry
from swincli.system.atomic_files import write_atomically

THUMBNAIL = 96  # longer side in pixels
_OVERSAMPLING = 2  # a JPEG is shrunk while it is decoded to this multiple of the thumbnail
_SHEET_TILE = 128
_SHEET_WIDTH = 12  # tiles
_GAP = 2
SHEET_MARK = ("swincli", "contact sheet of prepare-data")  # text of the PNG; such a file may be replaced

MakeThumbnail = Callable[[bytes, str], Image.Image | None]
"""From the bytes and the name of a file to a thumbnail; None if the picture was rejected."""


def read_thumbnails(entries: Iterable[Entry], names: Collection[str], make: MakeThumbnail) -> dict[str, Image.Image]:
    """Make thumbnails of some entries. Entries that cannot be read are skipped.

    Args:
        entries: Entries of a source.
        names: Names of the entries to read.
        make: Makes the thumbnail of a file.

    Returns:
        Thumbnails by name.
    """
    wanted, found = set(names), dict[str, Image.Image]()
    for entry in entries:
        if entry.name not in wanted:
            continue
        try:
            picture = make(entry.read(), entry.name)
        except ImageError:
            continue
        if picture is not None:
            found[entry.name] = picture
        if len(found) == len(wanted):
            break
    return found


def original_thumbnail(data: bytes, name: str) -> Image.Image:
    """Thumbnail of the uncropped picture, at most `THUMBNAIL` pixels wide and high.

    Raises:
        ImageError: The picture cannot be decoded.
    """
    picture = open_picture(data, name, enough=_OVERSAMPLING * THUMBNAIL).image
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return picture


def prepared_thumbnail(options: DecodeOptions) -> MakeThumbnail:
    """Thumbnails of prepared images, at most as large as a tile of the contact sheet."""

    def make(data: bytes, name: str) -> Image.Image | None:
        pixels = decode_and_crop(data, name, options).pixels
        if pixels is None:
            return None
        picture = Image.fromarray(pixels)
        picture.thumbnail((_SHEET_TILE, _SHEET_TILE), Image.Resampling.LANCZOS)
        return picture

    return make


def write_contact_sheet(path: Path, pictures: list[Image.Image]) -> None:
    """Write square pictures of one size as a grid into a PNG.

    Raises:
        ResourceError: The file cannot be written.
    """
    side = pictures[0].width
    columns = min(_SHEET_WIDTH, len(pictures))
    rows = -(-len(pictures) // columns)
    step = side + _GAP
    sheet = Image.new("RGB", (columns * step + _GAP, rows * step + _GAP), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (_GAP + place % columns * step, _GAP + place // columns * step))
    mark = PngInfo()
    mark.add_itxt(*SHEET_MARK)
    write_atomically(path, lambda temporary: sheet.save(temporary, "PNG", pnginfo=mark))


def is_contact_sheet(path: Path) -> bool:
    """Whether a file is a contact sheet of `prepare-data`."""
    try:
        with Image.open(path) as sheet:
            return sheet.info.get(SHEET_MARK[0]) == SHEET_MARK[1]
    except Exception:  # damaged files raise many types
        return False
