"""The pictures that codes are sought for: read from any image file, cut to a square and brought to the model's size."""

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

from swincli.data.images.rejected import ImageError
from swincli.data.preparing.decode_crop import DecodeOptions, decode_and_crop
from swincli.data.sources import open_source
from swincli.data.sources.entries import read_file
from swincli.errors import DataError, UsageError

Crop = Literal["center", "none"]
Warn = Callable[[str], None]
_HINT = "IMAGE is a picture (PNG, JPEG, WebP, TIFF, BMP or GIF) or a folder or .zip of pictures."


@dataclass(frozen=True, eq=False)
class Target:
    """A picture as the model would have made it.

    Attributes:
        source: Where it comes from, as it was asked for.
        stem: What the files that belong to it are called, without a suffix.
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
    """Read pictures and bring them to `size` x `size` px.

    Args:
        texts: Files, and folders or zips of files.
        size: The model's side in pixels.
        crop: "center" cuts out the largest square at the centre; "none" takes square pictures only.
        warn: Told what a picture loses: transparency, frames but the first, and detail where it is enlarged; and which
            files of a folder are no pictures.

    Raises:
        DataError: a file is missing, damaged, empty or no picture, or not square where nothing may be cut off.
        UsageError: two pictures would have files of the same name.
    """
    targets: dict[str, Target] = {}
    for text in texts:
        for target in _read(text, size, crop, warn):
            other = targets.setdefault(target.stem, target)
            if other is not target:
                raise UsageError(
                    f"{other.source}, {target.source}: both would be written as {target.stem}.npz",
                    "Rename one of them, or give each an --out of its own.",
                )
    return list(targets.values())


def _read(text: str, size: int, crop: Crop, warn: Warn) -> Iterator[Target]:
    path = Path(text)
    if path.is_dir() or path.suffix.lower() == ".zip" or text.startswith("builtin:"):
        yield from _read_several(text, size, crop, warn)
        return
    if not path.exists():
        raise DataError(f"{text}: no such file", _HINT)
    yield _fit(read_file(path, text), text, path.stem, size, crop, warn)


def _read_several(text: str, size: int, crop: Crop, warn: Warn) -> Iterator[Target]:
    found = False
    with open_source(text) as source:
        for entry in source:
            name, stem = source.locate(entry.name), PurePosixPath(entry.name).with_suffix("").as_posix()
            try:
                target = _fit(entry.read(), name, stem.replace("/", "-"), size, crop, warn)
            except ImageError as error:
                warn(f"{name}: {error.reason}; left out")
                continue
            found = True
            yield target
    if not found:
        raise DataError(f"{text}: none of its files is a picture of use", _HINT)


def _fit(data: bytes, name: str, stem: str, size: int, crop: Crop, warn: Warn) -> Target:
    outcome = decode_and_crop(data, name, DecodeOptions(size, crop=crop))
    if outcome.pixels is None:
        reason = outcome.record.reason or ""
        if reason.startswith("not square"):
            raise DataError(f"{name}: {reason}", "Cut it to a square, or use --crop center.")
        raise ImageError(name, reason)
    if outcome.record.upscaled:
        warn(f"{name}: {outcome.record.width} x {outcome.record.height} px, enlarged to the model's {size} px")
    for loss in _losses(data):
        warn(f"{name}: {loss}")
    return Target(name, stem, torch.from_numpy(outcome.pixels.copy()))


def _losses(data: bytes) -> Iterator[str]:
    """What is in a picture's file, which has been decoded before, and not in an RGB image of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(data)) as image:
                frames = int(getattr(image, "n_frames", 1))
                if frames > 1:
                    yield f"{frames} frames; only the first is projected"
                    image.seek(0)
                if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                    yield "transparent in places; laid over white"
        except (OSError, EOFError, SyntaxError, ValueError):  # a later frame may be damaged, and is not needed
            return
