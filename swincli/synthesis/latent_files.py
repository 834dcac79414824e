"""Latents as files: .npz with `z`, `w` or `w_plus`, as `swincli` and StyleGAN's tools write them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from swincli.errors import DataError
from swincli.recipe.schema import ModelSection
from swincli.synthesis.named_images import NamedImages

Space = Literal["z", "w", "w_plus"]
SPACES: tuple[Space, ...] = ("z", "w", "w_plus")
_HINT = "An .npz file with one of z [N, D], w [N, D] or w_plus [N, L, D]."


@dataclass(frozen=True)
class Latents:
    """Codes of one kind, float32: `[N, D]` for z and w, `[N, L, D]` for w_plus."""

    space: Space
    values: Tensor

    def __len__(self) -> int:
        return len(self.values)


def read_latents(path: Path, section: ModelSection) -> Latents:
    """Read the codes of a file for a model; StyleGAN's `projected_w.npz`, a `w` of three axes, is read as w_plus.

    Raises:
        DataError: the file is missing, no .npz, holds none or several of the three arrays, or does not fit the model.
    """
    arrays = _read(path)
    found = [space for space in SPACES if space in arrays]
    if len(found) != 1:
        held = ", ".join(arrays) or "nothing"
        raise DataError(f"{path}: holds {held}; exactly one of z, w and w_plus is needed", _HINT)
    space, array = found[0], arrays[found[0]]
    if space == "w" and array.ndim == 3:
        space = "w_plus"
    tail = (section.num_ws, section.latent_dim) if space == "w_plus" else (section.latent_dim,)
    if array.dtype.kind not in "fiu" or array.shape[1:] != tail or not len(array):
        wanted = ", ".join(("N", *map(str, tail)))
        raise DataError(f"{path}: {space} is {array.dtype} {list(array.shape)}, and this model takes [{wanted}]", _HINT)
    if not np.isfinite(array).all():
        raise DataError(f"{path}: {space} holds numbers that are not finite")
    return Latents(space, torch.from_numpy(array.astype(np.float32)))


def name_latents(latents: Latents, path: Path) -> NamedImages:
    """The images of a file's codes: latent-0000, latent-0001, ..."""
    return NamedImages([], None, [f"latent-{index:04d}" for index in range(len(latents))], None, path.name)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:  # opened here: numpy leaves a damaged one open
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                raise DataError(f"{path}: a single array, not an .npz file", _HINT)
            return dict(content)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", _HINT) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged or no .npz file", _HINT) from error
