"""The identity of a model: a short hash of its file. Output files record it."""

from __future__ import annotations

from pathlib import Path

from swincli.errors import CheckpointError, from_os_error
from swincli.system.file_hash import file_sha256

DIGITS = 12  # of SHA-256, in hexadecimal


def model_identity(path: Path) -> str:
    """The first 12 hexadecimal digits of a file's SHA-256.

    Raises:
        CheckpointError: there is no such file.
        ResourceError: the file cannot be read.
    """
    try:
        return file_sha256(path)[:DIGITS]
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such model") from None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
