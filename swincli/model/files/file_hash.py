"""Which model something was made with: a short hash of its file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from swincli.errors import CheckpointError, from_os_error

DIGITS = 12  # of SHA-256, in hexadecimal


def model_identity(path: Path) -> str:
    """The first 12 hexadecimal digits of a file's SHA-256; any change of the file changes them.

    Raises:
        CheckpointError: there is no such file.
        ResourceError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such model") from None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
