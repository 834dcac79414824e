"""Manifest of a store or a StyleGAN export: `manifest.json`, names of the files, and the content hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from swincli.data.images.colour import WHITE, spell_colour
from swincli.data.images.crop_resize import Crop, Filter, Gamma
from swincli.data.images.decode import Jpeg
from swincli.data.images.rejected import Rejected
from swincli.data.store.codecs import Encoding
from swincli.errors import DataError
from swincli.recipe.attributes import Attribute
from swincli.system.file_hash import ThreadedHash

Dedupe = Literal["exact", "near"]

MANIFEST_FILE = "manifest.json"
LABELS_FILE = "labels.npy"
ATTRIBUTES_FILE = "attributes.npy"
CAPTIONS_FILE = "captions.safetensors"
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
    """SHA-256 over all pixels, labels and attributes. It does not depend on the encoding or on shards."""

    def __init__(self) -> None:
        self._hash = ThreadedHash()

    def update(self, pixels: bytes | memoryview) -> None:
        """Add pixels: uint8 [N, H, W, C] as bytes, in the order of the images. A thread hashes them."""
        self._hash.update(pixels)

    def finish(self, images: int, resolution: int, labels: bytes | None, attributes: bytes = b"") -> str:
        """Add the shape, the labels, the attributes and the captions; return the hash in hexadecimal.

        Args:
            images: Number of images.
            resolution: Side of the images in pixels.
            labels: Labels as little-endian int64, or None.
            attributes: Attributes and captions, from their `hashed`, in this order; nothing without any.
        """
        shape = f"{images}x{resolution}x{resolution}x{CHANNELS}"
        self._hash.update(f"{shape} {'unlabelled' if labels is None else 'labelled'}".encode())
        self._hash.update(labels or b"")
        self._hash.update(attributes)
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


class CaptionFacts(BaseModel):
    """The captions of a store."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    encoder: str
    """Name of the sentence encoder."""
    encoder_sha256: str
    """SHA-256 of its weights. Vectors of different encoders do not fit together."""
    texts: Annotated[int, Field(ge=1)]
    """Number of different captions."""
    width: Annotated[int, Field(ge=1)]
    """Numbers of a caption's vector."""


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
    attributes: list[dict[str, Any]] | None = None
    """Names, kinds, values and ranges of the attributes of the images, as `recipe.attributes` writes them."""
    captions: CaptionFacts | None = None
    """The captions of the images; null without captions."""
    rejected: list[Rejected]
    """Skipped files with their paths inside `source`, and the reasons."""
    credit: str | None
    """Author and licence of built-in pictures; null for others."""
    versions: dict[str, str]
    """Versions of swincli and Pillow."""

    @property
    def generated_images(self) -> int:
        """Images whose files say that a trained algorithm made them; 0 if that was not counted."""
        return sum((self.generated or {}).values())

    def as_file(self) -> bytes:
        """The content of manifest.json; what the store does not have of attributes and captions is not mentioned."""
        unused = {"attributes", "attributes_sha256"} if self.attributes is None else set[str]()
        unused |= {"captions", "captions_sha256"} if self.captions is None else set()
        return (self.model_dump_json(indent=2, exclude=unused) + "\n").encode()

    def attribute_list(self) -> list[Attribute]:
        """The attributes in the order of their columns; empty without attributes."""
        return [Attribute.from_dict(plain) for plain in self.attributes or ()]

    @field_validator("attributes")
    @classmethod
    def _are_attributes(cls, value: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        try:
            names = [Attribute.from_dict(plain).name for plain in value or ()]
        except (KeyError, TypeError) as error:
            raise ValueError(f"an attribute is damaged: {error}") from None
        if value is not None and (not names or len(set(names)) < len(names)):
            raise ValueError("no attributes, or two of one name")
        return value


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
    attributes_sha256: str | None = None
    """SHA-256 of attributes.npy; null without attributes."""
    captions_sha256: str | None = None
    """SHA-256 of captions.safetensors; null without captions."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        named = [shard.file for shard in self.shards]
        if named != [shard_file(number, self.encoding) for number in range(len(self.shards))]:
            raise ValueError(f"the shards are not numbered {shard_file(0, self.encoding)}, ...")
        if sum(shard.images for shard in self.shards) != self.images:
            raise ValueError("the images of the shards do not add up to `images`")
        if (self.label_names is None) != (self.labels_sha256 is None):
            raise ValueError("label_names and labels_sha256 must both be set or both be null")
        if (self.attributes is None) != (self.attributes_sha256 is None):
            raise ValueError("attributes and attributes_sha256 must both be set or both be null")
        if (self.captions is None) != (self.captions_sha256 is None):
            raise ValueError("captions and captions_sha256 must both be set or both be null")
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
