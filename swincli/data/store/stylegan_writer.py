"""Writer of PNG files with StyleGAN's names and dataset.json, into a folder or an uncompressed zip.

The layout is that of StyleGAN3's `dataset_tool.py`: 00000/img00000000.png and so on, and dataset.json with
`{"labels": [["00000/img00000000.png", 6], ...]}`, or `{"labels": null}`. Those tools ignore manifest.json, which says
how the images were made.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.attribute_values import AttributeValues
from swincli.data.store.captions import Captions
from swincli.data.store.manifest import CHANNELS, DATASET_FILE, MANIFEST_FILE, ContentHash, StyleGANManifest

NO_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip entry; the real time would change the bytes
_UNIX: Final = 3
_REGULAR_FILE: Final = 0o100644

WriteFile = Callable[[str, bytes], None]
"""Writes a file: its name inside the folder or zip, and its content."""


def stylegan_name(number: int) -> str:
    """StyleGAN's file name of an image: 12345 -> "00012/img00012345.png"."""
    digits = f"{number:08d}"
    return f"{digits[:5]}/img{digits}.png"


def dataset_json(names: Sequence[str], labels: Sequence[int] | None) -> bytes:
    """Content of StyleGAN's dataset.json: the label of every file name, or null without labels."""
    rows = None if labels is None else [[name, label] for name, label in zip(names, labels, strict=True)]
    return json.dumps({"labels": rows}).encode()


class StyleGANWriter:
    """Names PNG files as StyleGAN does and writes them one by one.

    Args:
        write_file: Writes a file under a name.
        resolution: Side of the images in pixels.
    """

    def __init__(self, write_file: WriteFile, resolution: int) -> None:
        self._write_file, self._side = write_file, resolution
        self._content = ContentHash()
        self.images = 0

    def add(self, pixels: NDArray[np.uint8], encoded: bytes | None = None) -> None:
        """Append one image with its PNG file; see `ImageSink.add`."""
        assert pixels.shape == (self._side, self._side, CHANNELS)
        assert encoded
        self._write_file(stylegan_name(self.images), encoded)
        self._content.update(pixels.tobytes())
        self.images += 1

    def finish(
        self,
        labels: NDArray[np.int64] | None,
        facts: Mapping[str, Any],
        attributes: AttributeValues | None = None,
        captions: Captions | None = None,
    ) -> StyleGANManifest:
        """Write dataset.json and manifest.json; see `ImageWriter.finish`."""
        assert attributes is None is captions  # `make_plan` refuses them
        names = [stylegan_name(number) for number in range(self.images)]
        self._write_file(DATASET_FILE, dataset_json(names, None if labels is None else labels.tolist()))
        values = None if labels is None else labels.astype("<i8").tobytes()
        content_hash = self._content.finish(self.images, self._side, values)
        manifest = StyleGANManifest(**facts, images=self.images, resolution=self._side, content_hash=content_hash)
        self._write_file(MANIFEST_FILE, manifest.as_file())
        return manifest


@contextmanager
def writing_zip(path: Path, comment: bytes = b"", permissions: int = _REGULAR_FILE) -> Iterator[WriteFile]:
    """Open an uncompressed zip to write files into. It is synced to the disk when the block ends.

    The same files give the same bytes: entries have no date and the same permissions on every system.

    Args:
        path: The zip. An existing file is overwritten.
        comment: Comment of the zip.
        permissions: Unix mode of every entry.
    """
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.comment = comment

            def write_file(name: str, data: bytes) -> None:
                info = zipfile.ZipInfo(name, NO_DATE)
                info.create_system, info.external_attr = _UNIX, permissions << 16
                archive.writestr(info, data)

            yield write_file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing_folder(folder: Path) -> Iterator[WriteFile]:
    """Write files into a folder. They are synced to the disk when the block ends."""

    def write_file(name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    yield write_file
    if hasattr(os, "sync"):
        os.sync()  # one sync for all files; a sync per file would take longer than all the rest
