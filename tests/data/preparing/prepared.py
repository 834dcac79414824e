"""Helpers of the tests of `prepare`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, PrepareResult, prepare


def run(source: Path | str, dest: Path, **options: Any) -> PrepareResult:
    """Prepare quietly at 16 px."""
    return prepare(str(source), dest, PrepareOptions(**{"resolution": 16, **options}), Console(quiet=True))


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def remade(folder: Path) -> None:
    """Write the files of a folder again, in another order on the disk."""
    files = {file: file.read_bytes() for file in sorted(folder.rglob("*.*"), reverse=True)}
    for file in files:
        file.unlink()
    for file, data in files.items():
        file.write_bytes(data)
