"""Image files with provenance notes, so that a command resumes where it stopped and never overwrites foreign files.

A PNG has its note in a text chunk, a JPEG or WebP in EXIF, an .npz file in an entry, a zip in its comment, and a store
in `source` of its manifest. Pictures also say in XMP that a trained algorithm made them (`data/images/digital_source`).
That is for others to read: whether a file is done is decided by its note alone.
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

from swincli.data.images.digital_source import PNG_XMP, TRAINED, xmp_of
from swincli.data.store.manifest import is_store, read_manifest
from swincli.synthesis.output.judge_notes import without_judge
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
    """A file to write.

    Attributes:
        path: Where it goes.
        note: All settings that decide its content.
        source_type: IPTC's term for how its pixels came about; None for pictures that no trained algorithm made.
    """

    path: Path
    note: str
    source_type: str | None = TRAINED


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
    """Whether the file exists with this note, or with that of a version that did not name the model's judge."""
    return read_note(output.path) in (output.note, without_judge(output.note))


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
            return note_of_image(image)
    except Exception:  # damaged files raise many types
        return None


def note_of_image(image: Image.Image) -> str | None:
    """The note of an open image file; None if it has none."""
    if image.format == "PNG":
        return image.info.get(NOTE)
    text = image.getexif().get(_DESCRIPTION)
    return text.encode("latin-1").decode() if isinstance(text, str) else None


def encode_image(output: Output, picture: Tensor) -> bytes:
    """Encode one image, uint8 `[H, W, 3]`, with its note, as the suffix says: .png, .jpg or .webp."""
    suffix, software = output.path.suffix, f"swincli {__version__}"
    if suffix == ".png":
        return encode_png(picture, {"Software": software, NOTE: output.note}, output.source_type)
    image, content = Image.fromarray(picture.numpy()), BytesIO()
    exif = Image.Exif()
    exif[_SOFTWARE], exif[_DESCRIPTION] = software, output.note.encode()
    xmp = {} if output.source_type is None else {"xmp": xmp_of(output.source_type)}
    if suffix == ".jpg":
        image.save(content, "JPEG", quality=QUALITY, subsampling=0, exif=exif, **xmp)
    else:
        image.save(content, "WEBP", lossless=True, exif=exif, **xmp)
    return content.getvalue()


def encode_png(picture: Tensor, notes: Mapping[str, str], source_type: str | None = None) -> bytes:
    """Encode one image, uint8 `[H, W, 3]`, as PNG: one text chunk (iTXt) per note, and XMP for a source type."""
    text, content = PngImagePlugin.PngInfo(), BytesIO()
    for key, value in notes.items():
        text.add_itxt(key, value)
    if source_type is not None:
        text.add_itxt(PNG_XMP, xmp_of(source_type).decode())
    Image.fromarray(picture.numpy()).save(content, "PNG", pnginfo=text)
    return content.getvalue()


def save_png(
    path: Path, picture: Tensor, notes: Mapping[str, str] | None = None, source_type: str | None = None
) -> None:
    """Write one image, uint8 `[H, W, 3]`, as PNG, with `notes` in its text chunks and XMP for a source type.

    Raises:
        ResourceError: the file cannot be written.
    """
    write_atomically(path, partial(Path.write_bytes, data=encode_png(picture, notes or {}, source_type)))


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
