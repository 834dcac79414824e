"""Verification of a zip or folder of images: every checksum, every image, and the hash in StyleGAN files of swincli."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import ValidationError

from swincli.console import Console
from swincli.data.images.decode import decode
from swincli.data.images.formats import SUFFIXES
from swincli.data.images.rejected import ImageError
from swincli.data.store.manifest import (
    DATASET_FILE,
    MANIFEST_FILE,
    ContentHash,
    StyleGANManifest,
    is_stylegan_folder,
    is_stylegan_manifest,
)
from swincli.errors import DataError, ResourceError, from_os_error
from swincli.system.hidden_files import is_hidden
from swincli.units import format_names

_HINT = "Copy or download it again, or make it again with `swincli prepare-data`."
_DAMAGE = ("damaged", "empty file", "not an image")  # beginnings of reasons


@dataclass(frozen=True)
class Verified:
    """What was found whole: the number of images, and their hash if a manifest has one."""

    images: int
    content_hash: str | None


def is_archive(path: Path) -> bool:
    """Whether a path is a zip or a folder that `verify_archive` checks, and not a store."""
    return path.suffix.lower() == ".zip" or (path.is_file() and zipfile.is_zipfile(path)) or is_stylegan_folder(path)


def verify_archive(path: Path, console: Console) -> Verified:
    """Read every file of a zip, or of a folder of StyleGAN files that swincli wrote, and decode every image.

    Hidden files and those of operating systems, such as `__MACOSX`, are passed over, as in preparing.

    Raises:
        DataError: Files are damaged or cannot be read, or differ from the manifest. The message names the first ones.
        ResourceError: The zip or folder cannot be read, or memory does not suffice for an image.
    """
    with _reading(path) as (names, read):
        damaged: list[str] = []
        unread: list[str] = []
        images: list[str] = []
        manifest = read(MANIFEST_FILE) if MANIFEST_FILE in names else b""
        content = ContentHash() if is_stylegan_manifest(manifest) else None
        with console.progress("Verifying", len(names), "files") as advance:
            for name in names:
                try:
                    data = read(name)
                    if PurePosixPath(name).suffix.lower() in SUFFIXES:
                        pixels = np.asarray(decode(data, name))
                        images.append(name)
                        if content is not None:
                            content.update(pixels.tobytes())
                except (ResourceError, MemoryError):
                    raise
                except ImageError as error:
                    found = damaged if error.reason.startswith(_DAMAGE) else unread
                    found.append(f"{name} ({error.reason.removeprefix('damaged: ')})")
                except Exception:  # zipfile raises many types for damaged files
                    damaged.append(name)
                advance()
        if damaged or unread:
            raise _not_whole(path, damaged, unread)
        return Verified(len(images), _check_hash(path, manifest, content, read) if content is not None else None)


def _not_whole(path: Path, damaged: list[str], unread: list[str]) -> DataError:
    """The error for files that are damaged, and for images of a kind that is not read here; they may be whole."""
    others = f"{len(unread):,} of its files cannot be read: {format_names(unread)}"
    if not damaged:
        return DataError(f"{path}: {others}", "Preparing leaves such files out, and --on-error stop names them.")
    found = f"{path} is damaged: {len(damaged):,} of its files: {format_names(damaged)}"
    return DataError(f"{found}; {others}" if unread else found, _HINT)


def _check_hash(path: Path, manifest: bytes, content: ContentHash, read: Callable[[str], bytes]) -> str:
    """The content hash of the manifest, if the images have it."""
    try:
        known = StyleGANManifest.model_validate_json(manifest)
    except ValidationError:
        raise DataError(f"{path}: {MANIFEST_FILE} is damaged", _HINT) from None
    found = content.finish(known.images, known.resolution, _labels(read) if known.label_names is not None else None)
    if found != known.content_hash:
        raise DataError(f"{path}: the images are not those of {MANIFEST_FILE}: their content_hash differs", _HINT)
    return found


def _labels(read: Callable[[str], bytes]) -> bytes:
    rows = json.loads(read(DATASET_FILE))["labels"]
    return np.array([label for _, label in rows], "<i8").tobytes()


def _shown(names: Sequence[str]) -> list[str]:
    """The names without hidden parts, sorted."""
    return sorted(name for name in names if not any(map(is_hidden, PurePosixPath(name.replace("\\", "/")).parts)))


@contextmanager
def _reading(path: Path) -> Iterator[tuple[Sequence[str], Callable[[str], bytes]]]:
    """The names of the files of a zip or folder, sorted, and a function that reads one of them."""
    try:
        if path.is_dir():
            names = [item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_file()]
            yield _shown(names), lambda name: (path / name).read_bytes()
            return
        with zipfile.ZipFile(path) as archive:
            yield _shown([info.filename for info in archive.infolist() if not info.is_dir()]), archive.read
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise DataError(f"{path} is a damaged zip: {error}", _HINT) from error
