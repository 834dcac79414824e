"""Images to be made, what their files are called, and the codes that they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NamedImages:
    """Images of seeds, of given codes, or of mixed ones.

    Attributes:
        stems: Names of the files, without a suffix.
        origins: Where each comes from, for its notes: "seed=12", "latents=codes.npz#3 code=6d2f0c1b9a3e".
        captions: The same for people, in ASCII: "seed 12".
        seeds: One an image; none for codes of a file.
        labels: int64 `[N]`; None of an unconditional model and for codes of a file.
        class_names: One an image; None where there are no labels.
    """

    stems: list[str]
    origins: list[str]
    captions: list[str]
    seeds: list[int]
    labels: Tensor | None = None
    class_names: list[str] | None = None

    def __len__(self) -> int:
        return len(self.stems)

    def label(self, index: int) -> int | None:
        """The label of one image."""
        return None if self.labels is None else int(self.labels[index])


@dataclass(frozen=True)
class Drawing:
    """Images to be made, and `codes`: from indices of some to their w+ `[B, L, latent_dim]` on the model's device."""

    named: NamedImages
    codes: Callable[[Sequence[int]], Tensor]

    def __len__(self) -> int:
        return len(self.named)
