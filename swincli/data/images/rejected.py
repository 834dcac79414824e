"""A picture that did not make it into a store, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swincli.errors import DataError


class ImageError(DataError):
    """A file that cannot become a training image: `name` says which, `reason` why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


@dataclass(frozen=True)
class Rejected:
    """A source that was left out: its path inside the folder or zip, and the reason."""

    source: str
    reason: str

    @property
    def kind(self) -> str:
        """The reason without its details, to count by: "damaged", "duplicate", "not an image"."""
        return re.split(r":| of | \(", self.reason, maxsplit=1)[0]
