"""Small pictures of a few entries of a source, read once more when all is known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from PIL import Image

from swincli.data.images.decode import decode
from swincli.data.images.rejected import ImageError
from swincli.data.preparing.workers import Fit, fit
from swincli.data.sources.entries import Entry
from swincli.system.atomic_files import write_atomically

THUMBNAIL = 96  # pixels of the longer side
_SHEET_TILE = 128
_SHEET_WIDTH = 12  # tiles
_GAP = 2

Make = Callable[[bytes, str], Image.Image | None]


def read_pictures(entries: Iterable[Entry], names: Collection[str], make: Make) -> dict[str, Image.Image]:
    """Make small pictures of some entries, by name; what cannot be read is left out.

    Args:
        entries: A source's.
        names: The entries that are wanted.
        make: From a file's bytes and name to a picture.
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


def whole(data: bytes, name: str) -> Image.Image:
    """A picture as it lies in its file, not cut, at most `THUMBNAIL` pixels wide and high.

    Raises:
        ImageError: it cannot be decoded.
    """
    picture = decode(data, name)
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return picture


def as_prepared(how: Fit) -> Make:
    """Pictures as they are stored, of at most the size of a contact sheet's tile."""

    def make(data: bytes, name: str) -> Image.Image | None:
        pixels = fit(data, name, how).pixels
        if pixels is None:
            return None
        picture = Image.fromarray(pixels)
        picture.thumbnail((_SHEET_TILE, _SHEET_TILE), Image.Resampling.LANCZOS)
        return picture

    return make


def write_contact_sheet(path: Path, pictures: list[Image.Image]) -> None:
    """Lay square pictures of one size side by side into a PNG.

    Raises:
        ResourceError: the file cannot be written.
    """
    side = pictures[0].width
    columns = min(_SHEET_WIDTH, len(pictures))
    rows = -(-len(pictures) // columns)
    step = side + _GAP
    sheet = Image.new("RGB", (columns * step + _GAP, rows * step + _GAP), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (_GAP + place % columns * step, _GAP + place // columns * step))
    write_atomically(path, lambda temporary: sheet.save(temporary, "PNG"))
