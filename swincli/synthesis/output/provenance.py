"""Files that carry notes of how they were made, so that work goes on where it stopped and nothing else is overwritten.

PNGs carry their notes in a text chunk, JPEGs and WebPs in EXIF, .npz files in an entry, zips in their comment, and
stores in the `source` of their manifest.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from swincli import __version__
from swincli.data.store.manifest import is_store, read_manifest
from swincli.errors import DataError
from swincli.system.atomic_files import write_atomically

NOTE = "swincli"  # the PNG's text chunk, and the entry of an .npz file
SUFFIXES = (".png", ".jpg", ".webp")
QUALITY = 95  # of JPEGs; WebPs are lossless
ENCODERS = 8  # threads that encode: a large PNG takes longer than a GPU needs to draw it
_SOFTWARE, _DESCRIPTION = 0x0131, 0x010E  # EXIF's tags


@dataclass(frozen=True)
class Output:
    """A file to be, and the note in it: everything that decides what is in the file."""

    path: Path
    note: str


def missing(outputs: Sequence[Output], *, force: bool = False) -> list[int]:
    """Which of the files are still to be made: those that are not there, each once; all of them with `force`.

    Raises:
        DataError: without `force`, a file of that name is there with another note, or with none.
    """
    first: dict[Path, int] = {}
    for index, output in enumerate(outputs):
        first.setdefault(output.path, index)
    wanted = list(first.values())
    if force:
        return wanted
    strangers = [outputs[i] for i in wanted if outputs[i].path.exists() and not is_made(outputs[i])]
    if strangers:
        more = f", and {len(strangers) - 1:,} more" if len(strangers) > 1 else ""
        raise DataError(
            f"{strangers[0].path}: exists, and was made with other settings{more}",
            "Overwrite with --force, or choose another place.",
        )
    return [index for index in wanted if not outputs[index].path.exists()]


def is_made(output: Output) -> bool:
    """Whether the file is there, with this note."""
    return read_note(output.path) == output.note


def read_note(path: Path) -> str | None:
    """The note in a file or store; None where there is none, or it cannot be read."""
    try:
        if path.is_dir():
            return read_manifest(path).source if is_store(path) else None
        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                return str(content[NOTE])
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return archive.comment.decode()
        with Image.open(path) as image:
            if path.suffix == ".png":
                return image.info.get(NOTE)
            text = image.getexif().get(_DESCRIPTION)
            return text.encode("latin-1").decode() if isinstance(text, str) else None
    except (OSError, ValueError, KeyError, SyntaxError, EOFError, zipfile.BadZipFile, DataError):
        return None


def encode_image(output: Output, picture: Tensor) -> bytes:
    """One picture, uint8 `[H, W, 3]`, with its note, as the content of a .png, .jpg or .webp file."""
    image, suffix, software = Image.fromarray(picture.numpy()), output.path.suffix, f"swincli {__version__}"
    exif = Image.Exif()
    exif[_SOFTWARE], exif[_DESCRIPTION] = software, output.note.encode()
    content = BytesIO()
    if suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("Software", software)
        text.add_itxt(NOTE, output.note)
        image.save(content, "PNG", pnginfo=text)
    elif suffix == ".jpg":
        image.save(content, "JPEG", quality=QUALITY, subsampling=0, exif=exif)
    else:
        image.save(content, "WEBP", lossless=True, exif=exif)
    return content.getvalue()


def save_image(output: Output, picture: Tensor) -> None:
    """Write one picture, uint8 `[H, W, 3]`, as what the file's name ends in says: .png, .jpg or .webp.

    Raises:
        ResourceError: the file cannot be written.
    """
    save_images([output], picture[None])


def save_images(outputs: Sequence[Output], pictures: Tensor) -> None:
    """Write pictures, uint8 `[N, H, W, 3]`, as `save_image` does, encoded in several threads.

    Raises:
        ResourceError: a file cannot be written.
    """
    with ThreadPoolExecutor(min(ENCODERS, len(outputs))) as pool:
        for output, content in zip(outputs, pool.map(encode_image, outputs, pictures), strict=True):
            write_atomically(output.path, partial(Path.write_bytes, data=content))


def read_picture(path: Path) -> Tensor:
    """The picture in a file that `save_image` has written, uint8 `[H, W, 3]`."""
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB")))
