"""Key frames of walks: codes of seeds, and codes that files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.classes import name_images
from swincli.synthesis.latents.codes import codes_of_latents, codes_of_seeds
from swincli.synthesis.latents.files import open_latents
from swincli.synthesis.latents.seeds import z_from_seeds
from swincli.synthesis.latents.truncation import Truncation

WalkSpace = Literal["z", "w"]


@dataclass(frozen=True, eq=False)
class KeyFrames:
    """K key frames, on the CPU, where paths are computed: in float64, which not every device knows.

    Attributes:
        space: Where a walk goes from one to the next.
        codes: z `[K, latent_dim]`, or truncated w+ `[K, L, latent_dim]`.
        labels: Of the z of a conditional model, int64 `[K]`.
    """

    space: WalkSpace
    codes: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def deal(self, walks: int) -> list[KeyFrames]:
        """Share them out: the first walk gets the first K / walks of them, the second the next ones, and so on."""
        labels = [None] * walks if self.labels is None else self.labels.chunk(walks)
        return [KeyFrames(self.space, *share) for share in zip(self.codes.chunk(walks), labels, strict=True)]


def find_key_frames(
    model: Model,
    seeds: list[int],
    of_class: str | None,
    files: Sequence[Path],
    space: WalkSpace,
    truncation: Truncation,
) -> KeyFrames:
    """The key frames of seeds, and after them those of files.

    Args:
        model: The model.
        seeds: One key frame each; with several classes, one each of every class, class by class.
        of_class: --class; by default one is drawn for each seed.
        files: Every row of each is a key frame.
        space: Where the walk will go.
        truncation: Of w.

    Raises:
        UsageError: the model has no such class, or files hold w and the walk is to go in z.
        DataError: a file is missing or damaged, or is another model's.
    """
    named, latents = name_images(model, seeds, of_class), [open_latents(path, model) for path in files]
    if space == "w":
        parts = [codes_of_seeds(model, named.seeds, truncation, named.labels)] if seeds else []
        parts += [codes_of_latents(model, one, truncation) for one in latents]
        return KeyFrames(space, torch.cat(parts).cpu())
    for path, one in zip(files, latents, strict=True):
        if one.space != "z":
            raise UsageError(f"--latents {path}: holds {one.space}, from which no z follows", "Add --space w.")
        if model.classes is not None:
            raise UsageError(
                f"--latents {path}: a z alone does not decide an image of a model with classes", "Give w or w_plus."
            )
    z = torch.cat([z_from_seeds(named.seeds, model.recipe.model.latent_dim), *(one.values for one in latents)])
    return KeyFrames(space, z, named.labels)
