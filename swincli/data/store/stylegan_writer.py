"""Writing PNG files with StyleGAN's names and dataset.json, into a folder or a zip, for NVIDIA's and other tools.

The layout is that of StyleGAN3's `dataset_tool.py`: 00000/img00000000.png and so on, and dataset.json with
`{"labels": [["00000/img00000000.png", 6], ...]}`, or `{"labels": null}`. Those tools pass over
manifest.json, which says how the pictures were made.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swincli.data.store.manifest import CHANNELS, DATASET_FILE, MANIFEST_FILE, PicturesManifest
from swincli.data.store.raw_writer import ContentHash

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can say; a real time would change the bytes
_UNIX = 3
_REGULAR_FILE = 0o100644

Put = Callable[[str, bytes], None]


def picture_name(number: int) -> str:
    """StyleGAN's name of a picture: 12345 -> "00012/img00012345.png"."""
    digits = f"{number:08d}"
    return f"{digits[:5]}/img{digits}.png"


class PicturesWriter:
    """Names pictures and hands them on.

    Args:
        put: Stores a file under a name.
        resolution: Side of the images.
    """

    def __init__(self, put: Put, resolution: int) -> None:
        self._put, self._side = put, resolution
        self._content = ContentHash()
        self.images = 0

    def add(self, pixels: NDArray[np.uint8], encoded: bytes | None = None) -> None:
        """Append one image with its PNG file; see `writers.Writer`."""
        assert pixels.shape == (self._side, self._side, CHANNELS)
        assert encoded
        self._put(picture_name(self.images), encoded)
        self._content.update(pixels.tobytes())
        self.images += 1

    def describe(self, labels: NDArray[np.int64] | None, about: Mapping[str, Any]) -> PicturesManifest:
        """Write dataset.json and manifest.json; see `writers.Writer`."""
        rows = None if labels is None else [[picture_name(place), label] for place, label in enumerate(labels.tolist())]
        self._put(DATASET_FILE, json.dumps({"labels": rows}).encode())
        values = None if labels is None else labels.astype("<i8").tobytes()
        content_hash = self._content.finish(self.images, self._side, values)
        manifest = PicturesManifest(**about, images=self.images, resolution=self._side, content_hash=content_hash)
        self._put(MANIFEST_FILE, manifest.as_file())
        return manifest


@contextmanager
def putting_into_zip(path: Path) -> Iterator[Put]:
    """A zip whose files are not compressed again; the same files give the same bytes."""
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

            def put(name: str, data: bytes) -> None:
                info = zipfile.ZipInfo(name, _EARLIEST)
                info.create_system, info.external_attr = _UNIX, _REGULAR_FILE << 16
                archive.writestr(info, data)

            yield put
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def putting_into_folder(folder: Path) -> Iterator[Put]:
    """A folder of files, on the disk when the block ends."""

    def put(name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    yield put
    if hasattr(os, "sync"):
        os.sync()  # once for all; a file at a time would take longer than everything else
