"""Key frames of walks: the codes of seeds and of latent files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.codes import check_unconditional, codes_of_latents, codes_of_seeds, z_from_seeds
from swincli.synthesis.latents.edits import Edits
from swincli.synthesis.latents.files import open_latents
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sample_set import describe_seeds

WalkSpace = Literal["z", "w"]


@dataclass(frozen=True, eq=False)
class KeyFrames:
    """K key frames on the CPU; paths are computed there in float64, which MPS does not have.

    Attributes:
        space: Space in which a walk interpolates.
        codes: z `[K, latent_dim]`, or truncated w+ `[K, L, latent_dim]`.
        labels: Labels for z of a conditional model, int64 `[K]`; else None.
    """

    space: WalkSpace
    codes: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def split(self, walks: int) -> list[KeyFrames]:
        """Split into equal parts, one per walk: the first K / walks key frames are for the first walk."""
        labels = [None] * walks if self.labels is None else self.labels.chunk(walks)
        return [KeyFrames(self.space, *part) for part in zip(self.codes.chunk(walks), labels, strict=True)]


def find_key_frames(
    model: Model,
    seeds: list[int],
    of_class: str | None,
    files: Sequence[Path],
    space: WalkSpace,
    truncation: Truncation,
) -> KeyFrames:
    """Key frames of seeds, then of files.

    Args:
        model: A model from `load_model`.
        seeds: One key frame per seed; with several classes one per class and seed, class by class.
        of_class: Value of --class; None draws a class for each seed.
        files: Latent files; each row is a key frame.
        space: Space in which the walk interpolates.
        truncation: Of w.

    Raises:
        UsageError: the model has no such class; a walk in z and a file of w; or a file of z and a conditional model.
        DataError: a file is missing or damaged, or belongs to another model.
    """
    named, latents = describe_seeds(model, seeds, of_class), [open_latents(path, model) for path in files]
    if space == "w":
        parts = [codes_of_seeds(model, named.seeds, truncation, named.labels)] if seeds else []
        parts += [codes_of_latents(model, one, truncation) for one in latents]
        return KeyFrames(space, torch.cat(parts).cpu())
    for path, one in zip(files, latents, strict=True):
        if one.space != "z":
            raise UsageError(f"--latents {path}: holds {one.space}; a walk in z needs z", "Add --space w.")
        check_unconditional(model, f"--latents {path}")
    z = torch.cat([z_from_seeds(named.seeds, model.recipe.model.latent_dim), *(one.values for one in latents)])
    return KeyFrames(space, z, named.labels)


def edit_key_frames(keys: KeyFrames, edits: Edits) -> KeyFrames:
    """Each key frame in w once for every list of edits, in their order: a walk between the edits of an image."""
    rows = edits.steps.repeat(len(keys), 1)
    codes = keys.codes.repeat_interleave(len(edits.steps), dim=0)
    return KeyFrames(keys.space, edits.editor.move(codes, rows))
