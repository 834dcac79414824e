"""Image files with provenance notes, so that a command resumes where it stopped and never overwrites foreign files.

A PNG has its note in a text chunk, a JPEG or WebP in EXIF, an .npz file in an entry, a zip in its comment, and a store
in `source` of its manifest.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from swincli.data.store.manifest import is_store, read_manifest
from swincli.system.array_files import read_arrays
from swincli.system.atomic_files import write_atomically
from swincli.system.overwrite import check_overwrite
from swincli.version import __version__

NOTE = "swincli"  # key of the PNG's text chunk and of the entry in an .npz file
SUFFIXES = (".png", ".jpg", ".webp")
QUALITY = 95  # of JPEG; WebP is lossless
_SOFTWARE, _DESCRIPTION = 0x0131, 0x010E  # EXIF tags


@dataclass(frozen=True)
class Output:
    """A file to write, and its note: all settings that decide the content of the file."""

    path: Path
    note: str


def missing(outputs: Sequence[Output], *, force: bool = False) -> list[int]:
    """Indices of the files that do not exist yet, each path once; with `force` all files.

    Raises:
        DataError: without `force`: a file exists with another note or without one.
    """
    first: dict[Path, int] = {}
    for index, output in enumerate(outputs):
        first.setdefault(output.path, index)
    wanted = list(first.values())
    if force:
        return wanted
    check_overwrite(
        first,
        force=False,
        folders=True,
        is_own=lambda path: is_made(outputs[first[path]]),
        reason="exists, and was made with other settings",
        hint="Overwrite with --force, or choose another folder.",
    )
    return [index for index in wanted if not outputs[index].path.exists()]


def is_made(output: Output) -> bool:
    """Whether the file exists with this note."""
    return read_note(output.path) == output.note


def read_note(path: Path) -> str | None:
    """The note of a file or store; None if it has none or cannot be read."""
    try:
        if path.is_dir():
            return read_manifest(path).source if is_store(path) else None
        if path.suffix == ".npz":
            return str(read_arrays(path, names=[NOTE])[NOTE])
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return archive.comment.decode()
        with Image.open(path) as image:
            if path.suffix == ".png":
                return image.info.get(NOTE)
            text = image.getexif().get(_DESCRIPTION)
            return text.encode("latin-1").decode() if isinstance(text, str) else None
    except Exception:  # damaged files raise many types
        return None


def encode_image(output: Output, picture: Tensor) -> bytes:
    """Encode one image, uint8 `[H, W, 3]`, with its note, as the suffix says: .png, .jpg or .webp."""
    suffix, software = output.path.suffix, f"swincli {__version__}"
    if suffix == ".png":
        return encode_png(picture, {"Software": software, NOTE: output.note})
    image, content = Image.fromarray(picture.numpy()), BytesIO()
    exif = Image.Exif()
    exif[_SOFTWARE], exif[_DESCRIPTION] = software, output.note.encode()
    if suffix == ".jpg":
        image.save(content, "JPEG", quality=QUALITY, subsampling=0, exif=exif)
    else:
        image.save(content, "WEBP", lossless=True, exif=exif)
    return content.getvalue()


def encode_png(picture: Tensor, notes: Mapping[str, str]) -> bytes:
    """Encode one image, uint8 `[H, W, 3]`, as PNG with one text chunk (iTXt) per note."""
    text, content = PngImagePlugin.PngInfo(), BytesIO()
    for key, value in notes.items():
        text.add_itxt(key, value)
    Image.fromarray(picture.numpy()).save(content, "PNG", pnginfo=text)
    return content.getvalue()


def save_png(path: Path, picture: Tensor, notes: Mapping[str, str] | None = None) -> None:
    """Write one image, uint8 `[H, W, 3]`, as PNG, with `notes` in its text chunks.

    Raises:
        ResourceError: the file cannot be written.
    """
    write_atomically(path, partial(Path.write_bytes, data=encode_png(picture, notes or {})))


def save_image(output: Output, picture: Tensor) -> None:
    """Write one image, uint8 `[H, W, 3]`, with its note, as the suffix says: .png, .jpg or .webp.

    Raises:
        ResourceError: the file cannot be written.
    """
    write_atomically(output.path, partial(Path.write_bytes, data=encode_image(output, picture)))


def read_picture(path: Path) -> Tensor:
    """Read an image that `save_image` wrote, uint8 `[H, W, 3]`."""
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB")))
