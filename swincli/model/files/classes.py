"""The classes that a conditional model tells apart."""

from __future__ import annotations

from dataclasses import dataclass

from swincli.errors import UsageError
from swincli.units import format_names

MOST_NAMED = 20  # classes that a hint lists


@dataclass(frozen=True)
class Classes:
    """Names of the labels 0, 1, 2, ..., and how many training images carried each.

    Attributes:
        names: One name a label.
        images: Training images a label; at least one in all.
    """

    names: tuple[str, ...]
    images: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.images) or min(self.images) < 0 or not sum(self.images):
            raise ValueError("every class needs a name and a number of images")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shares(self) -> list[float]:
        """Share of every label among the training images; sums to 1."""
        return [count / sum(self.images) for count in self.images]

    @property
    def even(self) -> list[float]:
        """The same share for every label."""
        return [1 / len(self)] * len(self)

    def find(self, text: str) -> list[int]:
        """Read labels as they are asked for: a name, a number, or several of them with commas between.

        A name counts before a number: where a class is called "7", that is what 7 means.

        Raises:
            UsageError: there is no such class.
        """
        whole = self._label(text)
        return [whole] if whole is not None else [self._required(part.strip()) for part in text.split(",")]

    def _label(self, text: str) -> int | None:
        if text in self.names:
            return self.names.index(text)
        return int(text) if text.isascii() and text.isdecimal() and int(text) < len(self) else None

    def _required(self, text: str) -> int:
        label = self._label(text)
        if label is None:
            raise UsageError(
                f"--class {text}: the model has no such class",
                f"It has {format_names(self.names, MOST_NAMED)}; their numbers go from 0 to {len(self) - 1}.",
            )
        return label
