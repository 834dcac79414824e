"""Rejected images: the error that a reader or decoder raises, and the entry of the manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swincli.errors import DataError


class ImageError(DataError):
    """A file that cannot become a training image.

    Attributes:
        name: The file's path inside its source.
        reason: Why, such as "damaged: it is cut short".
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class DamagedError(ValueError):
    """A file is damaged; the message says how, in words for the user."""


@dataclass(frozen=True)
class Rejected:
    """A skipped file of the source.

    Attributes:
        source: Its path inside the folder or archive.
        reason: Why it was skipped.
    """

    source: str
    reason: str

    @property
    def kind(self) -> str:
        """The reason without details, as a key for counts: "damaged", "duplicate", "not an image"."""
        return re.split(r":| of | \(", self.reason, maxsplit=1)[0]
