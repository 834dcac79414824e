"""Target pictures of a projection: read from image files, cropped to a square and resized to the model's size."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from swincli.data.images.formats import list_formats
from swincli.data.images.rejected import ImageError
from swincli.data.preparing.decode_crop import DecodeOptions, decode_and_crop
from swincli.data.sources import open_source
from swincli.data.sources.entries import read_file
from swincli.errors import DataError, UsageError
from swincli.system.native_stderr import silent_libraries

Crop = Literal["center", "none"]
Warn = Callable[[str], None]
_HINT = f"IMAGE is a picture ({list_formats('or')}), or a folder or .zip of pictures."


@dataclass(frozen=True, eq=False)
class Target:
    """A picture at the model's size.

    Attributes:
        source: Its path, as the user gave it.
        stem: Name of its output files, without a suffix.
        picture: uint8 `[size, size, 3]`.
    """

    source: str
    stem: str
    picture: Tensor

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels, in hexadecimal."""
        return hashlib.sha256(self.picture.numpy().tobytes()).hexdigest()


def read_targets(texts: Sequence[str], size: int, crop: Crop, warn: Warn) -> list[Target]:
    """Read pictures, crop them to squares and resize them to `size` x `size` px.

    Args:
        texts: Files, folders or zips.
        size: Side of the model's images in pixels.
        crop: "center" takes the largest square at the centre; "none" accepts only square pictures.
        warn: Called with a message for each loss (transparency, further frames, enlargement), and for each file of a
            folder that is not a picture.

    Raises:
        DataError: a file is missing, damaged, empty or not a picture, or is not square with crop "none".
        UsageError: two pictures would have output files with the same name.
    """
    targets: dict[str, Target] = {}
    for text in texts:
        for target in _read(text, size, crop, warn):
            other = targets.setdefault(target.stem, target)
            if other is not target:
                raise UsageError(
                    f"{other.source}, {target.source}: both would be written as {target.stem}.npz",
                    "Rename one of them, or project them with different --out folders.",
                )
    return list(targets.values())


def _read(text: str, size: int, crop: Crop, warn: Warn) -> Iterator[Target]:
    path = Path(text)
    if path.is_dir() or path.suffix.lower() == ".zip" or text.startswith("builtin:"):
        yield from _read_several(text, size, crop, warn)
        return
    if not path.exists():
        raise DataError(f"{text}: no such file", _HINT)
    yield fit_picture(read_file(path, text), text, path.stem, size, crop, warn)


def _read_several(text: str, size: int, crop: Crop, warn: Warn) -> Iterator[Target]:
    found = False
    with open_source(text, hint=_HINT) as source:
        for entry in source:
            name, stem = source.locate(entry.name), PurePosixPath(entry.name).with_suffix("").as_posix()
            try:
                target = fit_picture(entry.read(), name, stem.replace("/", "-").replace(":", "-"), size, crop, warn)
            except ImageError as error:
                warn(f"{name}: {error.reason}; skipped")
                continue
            found = True
            yield target
    if not found:
        raise DataError(f"{text}: none of its files is a usable picture", _HINT)


def fit_picture(data: bytes, name: str, stem: str, size: int, crop: Crop, warn: Warn) -> Target:
    """Decode a picture, crop it to a square and resize it; arguments as for `read_targets`.

    Args:
        data: The whole file.
        name: Its name in messages.
        stem: Name of its output files, without a suffix.
        size: Side of the model's images in pixels.
        crop: The way to crop.
        warn: Called with a message for each loss.

    Raises:
        DataError: it is damaged or not a picture, or is not square with crop "none".
    """
    outcome = decode_and_crop(data, name, DecodeOptions(size, crop=crop))
    if outcome.pixels is None:
        reason = outcome.record.reason or ""
        if reason.startswith("not square"):
            raise DataError(f"{name}: {reason}", "Crop it to a square, or use --crop center.")
        raise ImageError(name, reason)
    if outcome.record.upscaled:
        warn(f"{name}: {outcome.record.width} x {outcome.record.height} px, enlarged to the model's {size} px")
    for loss in list(_losses(data, name)):
        warn(f"{name}: {loss}")
    return Target(name, stem, torch.from_numpy(outcome.pixels.copy()))


def _losses(data: bytes, name: str) -> Iterator[str]:
    """Information that a picture loses as an RGB image; `data` was decoded before without an error.

    Raises:
        ImageError: a later frame is damaged.
    """
    with warnings.catch_warnings(), silent_libraries():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(data)) as image:
                frames = int(getattr(image, "n_frames", 1))
                if frames > 1:
                    yield f"{frames} frames; only the first is projected"
                    image.seek(0)
                if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                    yield "has transparent pixels; placed on white"
        except Exception as error:  # Pillow raises nearly any exception for damaged frames
            raise ImageError(name, "damaged: a frame after the first cannot be read") from error
