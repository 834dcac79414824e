"""What a file of weights says about the labels of its networks: notes in its metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from swincli.errors import CheckpointError
from swincli.model.files.attributes import Attributes
from swincli.model.files.classes import Classes

T = TypeVar("T")


def label_notes(classes: Classes | None, attributes: Attributes | None) -> dict[str, Any]:
    """Plain values for the metadata; nothing of unconditional networks."""
    notes: dict[str, Any] = {"classes": asdict(classes)} if classes else {}
    return notes if attributes is None else {**notes, "attributes": attributes.as_dict()}


def classes_in(path: Path, about: Mapping[str, Any]) -> Classes | None:
    """The classes in the metadata of a file; None if it notes none. Raises CheckpointError if they are damaged."""
    return _noted(path, about, "classes", lambda saved: Classes(tuple(map(str, saved["names"])), _counts(saved)))


def attributes_in(path: Path, about: Mapping[str, Any]) -> Attributes | None:
    """The attributes in the metadata of a file; None if it notes none. Raises CheckpointError if they are damaged."""
    return _noted(path, about, "attributes", Attributes.from_dict)


def _counts(saved: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(map(int, saved["images"]))


def _noted(path: Path, about: Mapping[str, Any], what: str, read: Callable[[Any], T]) -> T | None:
    if not about.get(what):
        return None
    try:
        return read(about[what])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged: its {what}: {error}") from error
