"""Images to be made, and what their files are called."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NamedImages:
    """Images of seeds or of given codes.

    Attributes:
        seeds: One an image; none for given codes.
        labels: int64 `[N]`; None of an unconditional model and for given codes.
        stems: Names of the files, without a suffix.
        class_names: One an image; None where there are no labels.
        source: The file of given codes.
    """

    seeds: list[int]
    labels: Tensor | None
    stems: list[str]
    class_names: list[str] | None
    source: str | None = None

    def __len__(self) -> int:
        return len(self.stems)

    def label(self, index: int) -> int | None:
        """The label of one image."""
        return None if self.labels is None else int(self.labels[index])

    def origin(self, index: int) -> str:
        """Where one image comes from, for its notes: "seed=12" or "latents=codes.npz#3"."""
        return f"seed={self.seeds[index]}" if self.source is None else f"latents={self.source}#{index}"
