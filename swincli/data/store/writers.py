"""Output formats of prepared images: a store (raw or encoded), or StyleGAN's PNG files in a zip or a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.attribute_values import AttributeValues
from swincli.data.store.captions import Captions
from swincli.data.store.codecs import Encoding
from swincli.data.store.manifest import Provenance
from swincli.data.store.store_writer import StoreWriter
from swincli.data.store.stylegan_writer import StyleGANWriter, writing_folder, writing_zip

OutputFormat = Literal["store", "zip", "folder"]


class ImageSink(Protocol):
    """Takes images one by one and keeps none in memory."""

    @property
    def images(self) -> int:
        """Number of images added so far."""
        ...

    def add(self, pixels: NDArray[np.uint8], encoded: bytes | None = None) -> None:
        """Append one image.

        Args:
            pixels: uint8 [H, W, C].
            encoded: The same image as a PNG or WebP file. Every output but a raw store needs it.
        """
        ...


class ImageWriter(ImageSink, Protocol):
    """Writes images to the disk, and a manifest at the end."""

    def finish(
        self,
        labels: NDArray[np.int64] | None,
        facts: Mapping[str, Any],
        attributes: AttributeValues | None = None,
        captions: Captions | None = None,
    ) -> Provenance:
        """Write what remains, the labels and, as the last file, the manifest; return the manifest.

        Args:
            labels: int64 [images], or None.
            facts: Fields of the manifest that the writer does not know.
            attributes: The attributes of the images, which only a store can hold; None without any.
            captions: Captions of the images; only a store has them.
        """
        ...


def output_encoding(output_format: OutputFormat, encoding: Encoding) -> Encoding:
    """Encoding of the images in an output: that of the store, or PNG in zips and folders."""
    return encoding if output_format == "store" else "png"


@contextmanager
def open_writer(
    place: Path, resolution: int, output_format: OutputFormat, encoding: Encoding, expected: int | None = None
) -> Iterator[ImageWriter]:
    """Open a writer. Leaving the block closes its files.

    Args:
        place: An empty folder, or the file of a zip.
        resolution: Side of the images in pixels.
        output_format: The kind of output.
        encoding: How a store holds its images.
        expected: Number of images to come; None if unknown.
    """
    if output_format == "zip":
        with writing_zip(place) as write_file:
            yield StyleGANWriter(write_file, resolution)
    elif output_format == "folder":
        with writing_folder(place) as write_file:
            yield StyleGANWriter(write_file, resolution)
    else:
        with StoreWriter(place, resolution, encoding, expected=expected) as store:
            yield store
