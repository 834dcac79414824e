"""Class names of a conditional model, and how often each class occurred in training."""

from __future__ import annotations

from dataclasses import dataclass

from swincli.errors import UsageError
from swincli.units import format_names

MOST_NAMED = 20  # classes listed in a hint


@dataclass(frozen=True)
class Classes:
    """Names of the labels 0, 1, 2, ..., and the number of training images of each.

    Attributes:
        names: One name per label.
        images: Training images per label; the sum is at least 1.
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
        """Frequency of every label among the training images; sums to 1."""
        return [count / sum(self.images) for count in self.images]

    @property
    def even(self) -> list[float]:
        """The uniform distribution over the labels."""
        return [1 / len(self)] * len(self)

    def find(self, text: str) -> list[int]:
        """Labels from the text of --class: a name, a number, or several of them separated by commas.

        Names come first: if a class is called "7", then 7 means that class.

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
