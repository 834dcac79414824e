"""What a store says about itself: `manifest.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from swincli.data.images import Crop, Filter
from swincli.data.rejection import Rejected
from swincli.errors import DataError

MANIFEST_FILE = "manifest.json"
LABELS_FILE = "labels.npy"
CHANNELS: Final = 3
_FORMAT: Final = "swincli-store"
_VERSION: Final = 1


def shard_file(number: int) -> str:
    """Name of a shard: 0 -> "images-00000.npy"."""
    return f"images-{number:05d}.npy"


class Shard(BaseModel):
    """One file of pixels, uint8 [images, H, W, C]."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    file: str
    """Its name inside the store."""
    images: Annotated[int, Field(ge=1)]
    """Images in it."""
    sha256: str
    """Of the whole file."""


class Manifest(BaseModel):
    """How a store was made and what it holds; the same pictures and options give the same manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    format: Literal["swincli-store"] = _FORMAT
    """Tells a store's manifest from any other manifest.json."""
    format_version: Literal[1] = _VERSION
    """Version of this layout."""
    images: Annotated[int, Field(ge=1)]
    """Images in all shards."""
    resolution: Annotated[int, Field(ge=1)]
    """Side of the square images in pixels."""
    channels: Literal[3] = CHANNELS
    """Red, green and blue in sRGB."""
    crop: Crop
    """How pictures were made square."""
    filter: Filter
    """Filter that they were resized with, by Pillow and antialiased."""
    source: str
    """Where they came from, as it was typed."""
    max_images: int | None
    """The most images that were asked for."""
    dedupe: bool
    """Whether exact duplicates were left out."""
    upscaled: int
    """Images whose source was smaller than the resolution."""
    shards: list[Shard]
    """The files of pixels, in order."""
    content_hash: str
    """SHA-256 of all pixels and labels, whatever the shards: equal for stores that train alike."""
    label_names: list[str] | None
    """Name of each label of labels.npy; null without labels."""
    labels_sha256: str | None
    """Of labels.npy."""
    rejected: list[Rejected]
    """What was left out, and why; paths inside `source`."""
    credit: str | None
    """Whom the pictures are owed to, and their licence, where they came along with swincli."""
    versions: dict[str, str]
    """Of swincli and of Pillow."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if [shard.file for shard in self.shards] != [shard_file(number) for number in range(len(self.shards))]:
            raise ValueError("the shards are not numbered images-00000.npy, images-00001.npy, ...")
        if sum(shard.images for shard in self.shards) != self.images:
            raise ValueError("the shards do not add up to `images`")
        if (self.label_names is None) != (self.labels_sha256 is None):
            raise ValueError("label_names and labels_sha256 go together")
        return self


def is_store(path: Path | str) -> bool:
    """Whether a folder holds a store's manifest, of any version and however damaged the rest is."""
    try:
        return _read(Path(path) / MANIFEST_FILE).get("format") == _FORMAT
    except (OSError, ValueError):
        return False


def read_manifest(folder: Path) -> Manifest:
    """Read and check a store's manifest.

    Raises:
        DataError: there is none, it is not a store's, it is of another version, or it is damaged.
    """
    path = folder / MANIFEST_FILE
    hint = "Make it with `swincli prepare-data SOURCE DEST --resolution N`."
    if not folder.exists():
        raise DataError(f"{folder} does not exist", hint)
    try:
        raw = _read(path)
    except OSError as error:
        raise DataError(f"{folder} is not a store: {path.name} cannot be read ({error.strerror})", hint) from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}", "Prepare the store again.") from error
    if raw.get("format") != _FORMAT:
        raise DataError(f"{folder} is not a store: its {path.name} is something else's", hint)
    if raw.get("format_version") != _VERSION:
        found = raw.get("format_version")
        raise DataError(f"{path}: version {found!r}, this swincli reads {_VERSION}", "Prepare the store again.")
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "manifest"
        raise DataError(f"{path} is damaged: {where}: {first['msg']}", "Prepare the store again.") from error


def _read(path: Path) -> dict[str, object]:
    raw = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(raw, dict):
        raise ValueError("it holds no JSON object")
    return raw
