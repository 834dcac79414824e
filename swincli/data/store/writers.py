"""What prepared images can become: a store, raw or encoded, or pictures in a zip or a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.codecs import Encoding
from swincli.data.store.encoded_writer import EncodedStoreWriter
from swincli.data.store.manifest import Provenance
from swincli.data.store.raw_writer import StoreWriter
from swincli.data.store.stylegan_writer import PicturesWriter, putting_into_folder, putting_into_zip

Format = Literal["store", "zip", "folder"]


class Taker(Protocol):
    """Takes images one by one, keeping none."""

    @property
    def images(self) -> int:
        """How many were added."""
        ...

    def add(self, pixels: NDArray[np.uint8], encoded: bytes | None = None) -> None:
        """Append one image.

        Args:
            pixels: [H, W, C].
            encoded: The same as a file; all writers but that of raw stores need it.
        """
        ...


class Writer(Taker, Protocol):
    """Writes them, and describes them at the end."""

    def describe(self, labels: NDArray[np.int64] | None, about: Mapping[str, Any]) -> Provenance:
        """Write what is left, the labels and, last of all, the manifest.

        Args:
            labels: [images], or None.
            about: What the manifest says besides what the writer knows.
        """
        ...


def encoding_of(wanted: Format, encoding: Encoding) -> Encoding:
    """What pictures have to be encoded as: in zips and folders they are PNG files."""
    return encoding if wanted == "store" else "png"


@contextmanager
def open_writer(place: Path, resolution: int, wanted: Format, encoding: Encoding) -> Iterator[Writer]:
    """A writer into a place; leaving the block closes its files.

    Args:
        place: An empty folder; for "zip", a file that is not there yet.
        resolution: Side of the images.
        wanted: What it is to become.
        encoding: How a store holds its images.
    """
    if wanted == "zip":
        with putting_into_zip(place) as put:
            yield PicturesWriter(put, resolution)
    elif wanted == "folder":
        with putting_into_folder(place) as put:
            yield PicturesWriter(put, resolution)
    elif encoding == "raw":
        with StoreWriter(place, resolution) as raw:
            yield raw
    else:
        with EncodedStoreWriter(place, resolution, encoding) as encoded:
            yield encoded
