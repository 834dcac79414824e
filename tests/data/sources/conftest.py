"""Archives and databases that the tests of sources share."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import lmdb
import pytest

from swincli.data.images.rejected import ImageError
from swincli.data.sources import open_source


@pytest.fixture
def read() -> Callable[..., dict[str, bytes | str]]:
    """`read(path)`: what each entry holds by its name, or why it cannot be read; in the order of the source."""

    def each(path: Path, resolution: int | None = None) -> dict[str, bytes | str]:
        found: dict[str, bytes | str] = {}
        with open_source(str(path), resolution) as source:
            for entry in source:
                try:
                    found[entry.name] = entry.read()
                except ImageError as error:
                    found[entry.name] = error.reason
        return found

    return each


@pytest.fixture
def write_tar() -> Callable[..., Path]:
    """`write_tar(path, {"a.gif": data}, mode="w:gz")`."""

    def write(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
        with tarfile.open(path, mode) as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return path

    return write


@pytest.fixture
def write_lmdb() -> Callable[..., Path]:
    """`write_lmdb(folder, {b"key": data})`, by LMDB's own library."""

    def write(folder: Path, values: Mapping[bytes, bytes], **options: bool) -> Path:
        with lmdb.open(str(folder), map_size=2**28, **options) as base, base.begin(write=True) as transaction:
            for key, value in values.items():
                transaction.put(key, value)
        return folder

    return write
