"""Open a source: detect its kind by its first bytes."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from swincli.data.images.formats import require_image
from swincli.data.images.rejected import ImageError
from swincli.data.sources.arrays import MAGIC, open_array, open_arrays
from swincli.data.sources.builtin import open_builtin
from swincli.data.sources.composed import is_composed, open_composed
from swincli.data.sources.entries import COPY_AGAIN, Source, reading
from swincli.data.sources.folder import open_folder
from swincli.data.sources.lmdb_file import LMDB_FILE, open_lmdb
from swincli.data.sources.lmdb_tree import looks_like_lmdb
from swincli.data.sources.path_list import open_list
from swincli.data.sources.tar_file import looks_like_tar, open_tar
from swincli.data.sources.zip_file import open_zip
from swincli.data.store.manifest import DATASET_FILE, MANIFEST_FILE, is_store
from swincli.errors import DataError

_HEAD: Final = 512
_HINT: Final = (
    "SOURCE can be a folder, .zip, .tar, LMDB, .npy or .npz array, .txt list of paths, or builtin:emoji, emoji-faces, "
    "cats or robots."
)


def open_source(text: str, resolution: int | None = None, hint: str = _HINT) -> Source:
    """Open a folder (with its subfolders), a zip, a tar, an LMDB, an array, a list of paths or a `builtin:` name.

    The first bytes of a file decide what it is. Only a list is recognised by its suffix, .txt.

    Args:
        text: A path, or a name that begins with `builtin:`.
        resolution: Preferred size in pixels, if the source has its pictures in several sizes.
        hint: What else can be given, for the error that it is no source.

    Raises:
        DataError: The source does not exist, is damaged, or has no files.
        ResourceError: The source cannot be read.
        UsageError: The builtin name is unknown.
    """
    source = _open(text, resolution, hint)
    folder = _only_folder(source)
    own = (f"{folder}{DATASET_FILE}", f"{folder}{MANIFEST_FILE}")  # metadata of a prepared data set, not pictures
    found = [entry.name for entry in source if entry.name in own]
    entries = [entry for entry in source if entry.name not in own]
    if not entries:
        source.close()
        raise DataError(f"{text} holds no files", hint)
    return replace(source, entries=entries, label_file=own[0] if own[0] in found else None)


def _only_folder(source: Source) -> str:
    """The first folder of all paths, with a slash, if it has the data set's metadata: what a packed folder becomes."""
    folders = {entry.name.partition("/")[0] for entry in source}
    folder = f"{folders.pop()}/" if len(folders) == 1 else ""
    return folder if any(entry.name == f"{folder}{DATASET_FILE}" for entry in source) else ""


def _open(text: str, resolution: int | None, hint: str) -> Source:
    if is_composed(text):
        return open_composed(text, resolution)
    if text.startswith("builtin:"):
        return open_builtin(text)
    path = Path(text)
    if path.is_dir():
        if is_store(path) or ((path / MANIFEST_FILE).is_file() and (path / "images-00000.npy").is_file()):
            raise DataError(f"{text} is already a store", "Give the pictures that it was made from.")
        return open_lmdb(text, path, resolution) if (path / LMDB_FILE).is_file() else open_folder(text, path)
    if not path.is_file():
        raise DataError(f"{text} does not exist", hint)
    return _open_file(text, path, resolution, hint)


def _open_file(text: str, path: Path, resolution: int | None, hint: str) -> Source:
    with reading(text):
        with path.open("rb") as file:
            head = file.read(_HEAD)
        is_zip = head.startswith(b"PK") or zipfile.is_zipfile(path)
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return open_list(text, path)
    if head.startswith(MAGIC):
        return open_array(text, path)
    if looks_like_lmdb(head):
        return open_lmdb(text, path, resolution)
    if is_zip:
        return open_arrays(text, path) if suffix == ".npz" else open_zip(text, path)
    if looks_like_tar(head):
        return open_tar(text, path)
    kind = {".zip": "zip", ".npz": "zip", ".tar": "tar", ".npy": "array", ".mdb": "LMDB"}.get(suffix)
    if kind is not None:
        raise DataError(f"{text} is a damaged {kind}: its first bytes are wrong", COPY_AGAIN)
    try:
        require_image(head, text)
    except ImageError:
        raise DataError(f"{text} is not a source of pictures", hint) from None
    raise DataError(f"{text} is a single picture", "Put it into a folder and give the folder.")
