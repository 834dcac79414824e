"""What a store says about itself: `manifest.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from swincli.data.images.colour import WHITE, spell_colour
from swincli.data.images.crop_resize import Crop, Filter, Gamma
from swincli.data.images.decode import Jpeg
from swincli.data.images.rejected import Rejected
from swincli.data.preparing.dedupe import Dedupe
from swincli.data.store.codecs import Encoding
from swincli.errors import DataError

MANIFEST_FILE = "manifest.json"
LABELS_FILE = "labels.npy"
LENGTHS_FILE = "lengths.npy"
DATASET_FILE = "dataset.json"
CHANNELS: Final = 3
_FORMAT: Final = "swincli-store"
_PICTURES: Final = "swincli-pictures"
_VERSION: Final = 1


def shard_file(number: int, encoding: Encoding = "raw") -> str:
    """Name of a shard: 0 -> "images-00000.npy", or "images-00000.bin" where its images are encoded."""
    return f"images-{number:05d}.{'npy' if encoding == 'raw' else 'bin'}"


class Shard(BaseModel):
    """One file of images: uint8 [images, H, W, C], or encoded images one after the other."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    file: str
    """Its name inside the store."""
    images: Annotated[int, Field(ge=1)]
    """Images in it."""
    sha256: str
    """Of the whole file."""


def _spell_dedupe(value: object) -> object:
    """Earlier manifests only say whether exact duplicates were left out."""
    return {True: "exact", False: None}[value] if isinstance(value, bool) else value


class Provenance(BaseModel):
    """How images were made of pictures, and what is known of them; the same pictures and options give the same."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    format: str
    """Tells this file from any other manifest.json."""
    format_version: Literal[1] = _VERSION
    """Version of this layout."""
    images: Annotated[int, Field(ge=1)]
    """How many there are."""
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
    dedupe: Annotated[Dedupe | None, BeforeValidator(_spell_dedupe)]
    """Which duplicates were left out: exact ones, or near ones too."""
    background: str = spell_colour(WHITE)
    """What shows through where pictures were transparent."""
    gamma: Gamma = "srgb"
    """Whether stored values were averaged in resizing, or the light that they stand for."""
    jpeg: Jpeg = "exact"
    """Whether large JPEGs were shrunk while they were decoded."""
    min_size: int = 1
    """Pictures of which less would have stayed, in pixels a side, were left out."""
    split: str | None = None
    """The parts that pictures were spread over, and their shares."""
    part: str | None = None
    """Which of them this is."""
    upscaled: int
    """Images whose source was smaller than the resolution."""
    content_hash: str
    """SHA-256 of all pixels and labels, whatever the files and their encoding: equal for sets that train alike."""
    label_names: list[str] | None
    """Name of each label; null without labels."""
    rejected: list[Rejected]
    """What was left out, and why; paths inside `source`."""
    credit: str | None
    """Whom the pictures are owed to, and their licence, where they came along with swincli."""
    versions: dict[str, str]
    """Of swincli and of Pillow."""

    def as_file(self) -> bytes:
        """The content of manifest.json."""
        return (self.model_dump_json(indent=2) + "\n").encode()


class Manifest(Provenance):
    """What a store holds and how it was made."""

    format: Literal["swincli-store"] = _FORMAT
    encoding: Encoding = "raw"
    """How each image lies in a shard: as it is, or as a lossless PNG or WebP file."""
    shards: list[Shard]
    """The files of images, in order."""
    lengths_sha256: str | None = None
    """Of lengths.npy, the bytes of each encoded image; null where they are raw."""
    labels_sha256: str | None
    """Of labels.npy."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        named = [shard.file for shard in self.shards]
        if named != [shard_file(number, self.encoding) for number in range(len(self.shards))]:
            raise ValueError(f"the shards are not numbered {shard_file(0, self.encoding)}, ...")
        if sum(shard.images for shard in self.shards) != self.images:
            raise ValueError("the shards do not add up to `images`")
        if (self.label_names is None) != (self.labels_sha256 is None):
            raise ValueError("label_names and labels_sha256 go together")
        if (self.encoding == "raw") != (self.lengths_sha256 is None):
            raise ValueError("lengths_sha256 goes with encoded images")
        return self


class PicturesManifest(Provenance):
    """Of a zip or folder of PNG files that was made for other tools, beside their dataset.json."""

    format: Literal["swincli-pictures"] = _PICTURES


def is_store(path: Path | str) -> bool:
    """Whether a folder holds a store's manifest, of any version and however damaged the rest is."""
    return _format_in(Path(path)) == _FORMAT


def is_pictures(path: Path | str) -> bool:
    """Whether a folder holds the manifest of pictures made for other tools."""
    return _format_in(Path(path)) == _PICTURES


def is_pictures_manifest(content: bytes) -> bool:
    """Whether the bytes of a manifest.json are those of pictures made for other tools."""
    try:
        return _parse(content).get("format") == _PICTURES
    except ValueError:
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
        raw = _parse(path.read_bytes())
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


def _format_in(folder: Path) -> object:
    try:
        return _parse((folder / MANIFEST_FILE).read_bytes()).get("format")
    except (OSError, ValueError):
        return None


def _parse(content: bytes) -> dict[str, object]:
    raw = json.loads(content.decode("utf-8"))
    if not isinstance(raw, dict):
        raise ValueError("it holds no JSON object")
    return raw
