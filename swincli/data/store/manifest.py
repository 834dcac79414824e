"""Manifest of a store or a StyleGAN export: `manifest.json`, names of the files, and the content hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from swincli.data.images.colour import WHITE, spell_colour
from swincli.data.images.crop_resize import Crop, Filter, Gamma
from swincli.data.images.decode import Jpeg
from swincli.data.images.rejected import Rejected
from swincli.data.store.codecs import Encoding
from swincli.errors import DataError
from swincli.system.file_hash import ThreadedHash

Dedupe = Literal["exact", "near"]

MANIFEST_FILE = "manifest.json"
LABELS_FILE = "labels.npy"
LENGTHS_FILE = "lengths.npy"
DATASET_FILE = "dataset.json"
CHANNELS: Final = 3
_FORMAT: Final = "swincli-store"
_STYLEGAN: Final = "swincli-pictures"
_VERSION: Final = 1


def shard_file(number: int, encoding: Encoding = "raw") -> str:
    """File name of a shard: 0 -> "images-00000.npy", or "images-00000.bin" with encoded images."""
    return f"images-{number:05d}.{'npy' if encoding == 'raw' else 'bin'}"


class ContentHash:
    """SHA-256 over all pixels and labels. It does not depend on the encoding or the division into shards."""

    def __init__(self) -> None:
        self._hash = ThreadedHash()

    def update(self, pixels: bytes | memoryview) -> None:
        """Add pixels: uint8 [N, H, W, C] as bytes, in the order of the images. A thread hashes them."""
        self._hash.update(pixels)

    def finish(self, images: int, resolution: int, labels: bytes | None) -> str:
        """Add the shape and the labels; return the hash in hexadecimal.

        Args:
            images: Number of images.
            resolution: Side of the images in pixels.
            labels: Labels as little-endian int64, or None.
        """
        shape = f"{images}x{resolution}x{resolution}x{CHANNELS}"
        self._hash.update(f"{shape} {'unlabelled' if labels is None else 'labelled'}".encode())
        self._hash.update(labels or b"")
        return self._hash.hexdigest()


class Shard(BaseModel):
    """One file of images: uint8 [images, H, W, C], or encoded images one after the other."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    file: str
    """File name inside the store."""
    images: Annotated[int, Field(ge=1)]
    """Number of images in the file."""
    sha256: str
    """SHA-256 of the whole file."""


def _spell_dedupe(value: object) -> object:
    """Older manifests have true (exact duplicates are skipped) or false."""
    return {True: "exact", False: None}[value] if isinstance(value, bool) else value


class Provenance(BaseModel):
    """How images were prepared, and their hashes. The same pictures and options give the same manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    format: str
    """Identifies the kind of manifest.json."""
    format_version: Literal[1] = _VERSION
    """Version of the manifest's layout."""
    images: Annotated[int, Field(ge=1)]
    """Number of images."""
    resolution: Annotated[int, Field(ge=1)]
    """Side of the square images in pixels."""
    channels: Literal[3] = CHANNELS
    """Channels of an image: red, green and blue in sRGB."""
    crop: Crop
    """How pictures were cropped."""
    filter: Filter
    """Pillow's resampling filter, antialiased."""
    source: str
    """The source as typed."""
    max_images: int | None
    """Limit on the number of images; null without a limit."""
    dedupe: Annotated[Dedupe | None, BeforeValidator(_spell_dedupe)]
    """Which duplicates were skipped: exact ones, or near ones too; null for none."""
    background: str = spell_colour(WHITE)
    """Colour under transparent pixels."""
    gamma: Gamma = "srgb"
    """Whether resizing averaged the stored values (srgb) or linear light."""
    jpeg: Jpeg = "exact"
    """Whether large JPEGs were shrunk while they were decoded (fast) or not (exact)."""
    min_size: int = 1
    """Pictures whose crop was smaller than this on a side, in pixels, were skipped."""
    split: str | None = None
    """The split: names of the parts and their shares."""
    part: str | None = None
    """Name of this part of the split."""
    upscaled: int
    """Number of images whose crop was smaller than the resolution."""
    generated: dict[str, int] | None = None
    """Images whose files say that a trained algorithm made them, by IPTC's term; null in stores of older versions."""
    content_hash: str
    """SHA-256 of all pixels and labels, independent of files and encoding. Equal hashes: equal training data."""
    label_names: list[str] | None
    """Name of each label; null without labels."""
    rejected: list[Rejected]
    """Skipped files with their paths inside `source`, and the reasons."""
    credit: str | None
    """Author and licence of built-in pictures; null for others."""
    versions: dict[str, str]
    """Versions of swincli and Pillow."""

    def as_file(self) -> bytes:
        """The content of manifest.json."""
        return (self.model_dump_json(indent=2) + "\n").encode()


class Manifest(Provenance):
    """Manifest of a store."""

    format: Literal["swincli-store"] = _FORMAT
    encoding: Encoding = "raw"
    """How a shard holds an image: raw pixels, or a lossless PNG or WebP file."""
    shards: list[Shard]
    """Files of images, in order."""
    lengths_sha256: str | None = None
    """SHA-256 of lengths.npy, the size of each encoded image in bytes; null for raw images."""
    labels_sha256: str | None
    """SHA-256 of labels.npy; null without labels."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        named = [shard.file for shard in self.shards]
        if named != [shard_file(number, self.encoding) for number in range(len(self.shards))]:
            raise ValueError(f"the shards are not numbered {shard_file(0, self.encoding)}, ...")
        if sum(shard.images for shard in self.shards) != self.images:
            raise ValueError("the images of the shards do not add up to `images`")
        if (self.label_names is None) != (self.labels_sha256 is None):
            raise ValueError("label_names and labels_sha256 must both be set or both be null")
        if (self.encoding == "raw") != (self.lengths_sha256 is None):
            raise ValueError("lengths_sha256 must be set for encoded images and null for raw ones")
        return self


class StyleGANManifest(Provenance):
    """Manifest of a zip or folder of PNG files with StyleGAN's dataset.json."""

    format: Literal["swincli-pictures"] = _STYLEGAN


def is_store(path: Path | str) -> bool:
    """Whether a folder holds the manifest of a store. The version and the other files are not checked."""
    return _format_in(Path(path)) == _FORMAT


def is_stylegan_folder(path: Path | str) -> bool:
    """Whether a folder holds the manifest of StyleGAN files that swincli wrote."""
    return _format_in(Path(path)) == _STYLEGAN


def is_stylegan_manifest(content: bytes) -> bool:
    """Whether the content of a manifest.json is that of StyleGAN files that swincli wrote."""
    try:
        return _parse(content).get("format") == _STYLEGAN
    except ValueError:
        return False


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a store.

    Raises:
        DataError: The manifest is missing, damaged, of another version, or not of a store.
    """
    path = folder / MANIFEST_FILE
    hint = "Make one with `swincli prepare-data SOURCE DEST --resolution N`."
    if not folder.exists():
        raise DataError(f"{folder} does not exist", hint)
    try:
        raw = _parse(path.read_bytes())
    except OSError as error:
        raise DataError(f"{folder} is not a store: {path.name} cannot be read ({error.strerror})", hint) from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}", "Prepare the store again.") from error
    if raw.get("format") != _FORMAT:
        raise DataError(f"{folder} is not a store: its {path.name} was written by another program", hint)
    if raw.get("format_version") != _VERSION:
        found = raw.get("format_version")
        raise DataError(f"{path}: version {found!r}; this swincli reads version {_VERSION}", "Prepare the store again.")
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
        raise ValueError("it is not a JSON object")
    return raw
