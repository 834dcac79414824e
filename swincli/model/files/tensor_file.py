"""safetensors files with one JSON entry in their metadata: models, tuned weights and EMA snapshots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from swincli.errors import CheckpointError
from swincli.model.files.snapshot import Weights
from swincli.system.atomic_files import write_atomically


def write_tensors(path: Path, tensors: Weights, key: str, about: dict[str, Any]) -> None:
    """Write tensors, and `about` as JSON under a metadata key.

    Raises:
        ResourceError: the file cannot be written.
    """
    metadata = {key: json.dumps(about)}  # one key only: safetensors writes several in no fixed order
    write_atomically(path, lambda temporary: safetensors.torch.save_file(tensors, temporary, metadata))


def read_tensors(path: Path, key: str, *prefixes: str) -> tuple[Any, Weights]:
    """Read the JSON entry and the tensors.

    Args:
        path: The file.
        key: The metadata key of the entry.
        prefixes: Read only the tensors whose names start with one of them; without prefixes, all.

    Returns:
        The entry, None if there is none, and the tensors by name.

    Raises:
        CheckpointError: the file is damaged, or the entry is not JSON.
    """
    with _opened(path) as file:
        about = _entry(path, file, key)
        return about, {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefixes or "")}  # noqa: SIM118


def to_float32(tensors: Weights) -> Weights:
    """Floating-point tensors in the networks' dtype, for files that other tools have halved; integers as they are."""
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def read_about(path: Path, key: str) -> Any:
    """Read the JSON entry alone, None if there is none.

    Raises:
        CheckpointError: the file is damaged, or the entry is not JSON.
    """
    with _opened(path) as file:
        return _entry(path, file, key)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: damaged, or not a safetensors file ({error})") from error


def _entry(path: Path, file: Any, key: str) -> Any:
    try:
        return json.loads((file.metadata() or {}).get(key, "null"))
    except ValueError as error:
        raise CheckpointError(f"{path}: its metadata is damaged: {error}") from error
