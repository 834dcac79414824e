"""Reading arrays from `.npz` files. `atomic_files.write_arrays` writes them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swincli.errors import DataError, SwincliError


@contextmanager
def open_arrays(path: Path, hint: str | None = None) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open an `.npz` file; an array is read when it is taken from the mapping. Nothing is unpickled.

    Errors inside the block become DataErrors too, because a damaged file raises many types on access.

    Args:
        path: The file.
        hint: Hint of the errors.

    Raises:
        DataError: no such file, not an `.npz` file, or a damaged one.
    """
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such file", hint)
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: not an .npz file, or damaged", hint)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # numpy leaves a damaged file open
            yield arrays
    except SwincliError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise DataError(f"{path}: damaged, or not an .npz file of numbers ({reason})", hint) from error
