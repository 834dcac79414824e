"""Archives of generated images: an .npz file, a zip or a store, written atomically with one image in memory."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swincli.data.images.digital_source import TRAINED
from swincli.data.store.manifest import DATASET_FILE
from swincli.data.store.npy_header import npy_header
from swincli.data.store.staging import staged
from swincli.data.store.store_writer import StoreWriter
from swincli.data.store.stylegan_writer import NO_DATE, dataset_json, writing_zip
from swincli.errors import from_os_error
from swincli.synthesis.output.judge_notes import without_judge
from swincli.synthesis.output.provenance import NOTE, Output
from swincli.system.atomic_files import write_atomically
from swincli.version import __version__

_PERMISSIONS = 0o600  # of the files in a zip


@dataclass(frozen=True)
class Contents:
    """Images to pack.

    Attributes:
        files: PNGs in order, all of one size.
        labels: One per file; None without labels.
        label_names: Names of all labels; None without labels.
    """

    files: Sequence[Path]
    labels: Sequence[int] | None = None
    label_names: Sequence[str] | None = None


def digest(notes: Sequence[str]) -> str:
    """A short hash of notes, in order; a judge that they name is no part of it, as in earlier versions."""
    return hashlib.sha256("\n".join(map(without_judge, notes)).encode()).hexdigest()[:12]


def pack_zip(output: Output, contents: Contents) -> None:
    """Pack the PNGs unchanged into a zip, with StyleGAN's dataset.json if there are labels.

    Raises:
        ResourceError: the file cannot be written.
    """

    def write(temporary: Path) -> None:
        with writing_zip(temporary, output.note.encode(), _PERMISSIONS) as write_file:
            for file in contents.files:
                write_file(file.name, file.read_bytes())
            if contents.labels is not None:
                write_file(DATASET_FILE, dataset_json([file.name for file in contents.files], contents.labels))

    write_atomically(output.path, write)


def pack_npz(output: Output, contents: Contents) -> None:
    """Pack the pixels: `arr_0` uint8 `[N, H, W, 3]`, `names` `[N]`, and with labels `arr_1` int64 `[N]`.

    `arr_0` and `arr_1` are numpy's names for unnamed arrays, and what ADM's evaluator reads.

    Raises:
        ResourceError: the file cannot be written.
    """
    names = np.array([file.stem for file in contents.files])

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            small: dict[str, NDArray[np.generic]] = {"names": names, NOTE: np.array(output.note)}
            if contents.labels is not None:
                small["arr_1"] = np.array(contents.labels, np.int64)
            np.savez(file, **small)  # type: ignore[arg-type]
        with (
            zipfile.ZipFile(temporary, "a") as archive,
            archive.open(zipfile.ZipInfo("arr_0.npy", NO_DATE), "w", force_zip64=True) as stream,
        ):
            shape = _pixels(contents.files[0]).shape
            stream.write(npy_header("|u1", (len(contents.files), *shape)))
            for picture in contents.files:
                stream.write(_pixels(picture).tobytes())

    write_atomically(output.path, write)


def pack_store(output: Output, contents: Contents) -> None:
    """Write the images as a store for `swincli train` and `swincli evaluate`.

    Raises:
        DataError: the destination exists and is not a store.
        ResourceError: the store cannot be written.
    """
    side = len(_pixels(contents.files[0]))
    labels = None if contents.labels is None else np.array(contents.labels, np.int64)
    facts = {
        "crop": "none",
        "filter": "lanczos",
        "source": output.note,
        "max_images": None,
        "dedupe": False,
        "upscaled": 0,
        "generated": {TRAINED: len(contents.files)},
        "label_names": None if labels is None else list(contents.label_names or []),
        "rejected": [],
        "credit": None,
        "versions": {"swincli": __version__, "pillow": version("pillow")},
    }
    try:
        with staged(output.path, force=True) as folder, StoreWriter(folder, side) as writer:
            for file in contents.files:
                writer.add(_pixels(file))
            writer.finish(labels, facts)
    except OSError as error:
        raise from_os_error(error, f"writing {output.path}") from error


PACKED = {"npz": "images.npz", "zip": "images.zip", "store": "store"}
"""Name of the file or folder, by format."""
PACKERS: dict[str, Callable[[Output, Contents], None]] = {
    PACKED["npz"]: pack_npz,
    PACKED["zip"]: pack_zip,
    PACKED["store"]: pack_store,
}
"""Functions that write the archives, by that name."""


def _pixels(file: Path) -> NDArray[np.uint8]:
    with Image.open(file) as image:
        return np.asarray(image)
