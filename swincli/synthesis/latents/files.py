"""Latent codes in .npz files: `z`, `w` or `w_plus`, as swincli and StyleGAN's tools write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from swincli.errors import DataError
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.recipe.schema import ModelSection
from swincli.system.array_files import read_arrays
from swincli.system.atomic_files import write_arrays

LatentSpace = Literal["z", "w", "w_plus"]
SPACES: tuple[LatentSpace, ...] = ("z", "w", "w_plus")
MODEL_NOTE = "model"  # entry of the file: the identity of the model that the codes belong to
_HINT = "Give an .npz file with one of z [N, D], w [N, D] or w_plus [N, L, D]."


@dataclass(frozen=True)
class Latents:
    """N codes of one kind, float32: `[N, D]` for z and w, `[N, L, D]` for w_plus."""

    space: LatentSpace
    values: Tensor

    def __len__(self) -> int:
        return len(self.values)


def read_latents(path: Path, section: ModelSection) -> Latents:
    """Read the codes of a file for a model. StyleGAN's `projected_w.npz`, a `w` with three axes, is read as w_plus.

    Raises:
        DataError: the file is missing or damaged, has none or several of the three arrays, or does not fit the model.
    """
    return _parse(path, read_arrays(path, _HINT), section)


def open_latents(path: Path, model: Model) -> Latents:
    """Read the codes of a file for a model, and check the model that the file names.

    Raises:
        DataError: as in `read_latents`, or the file names another model. z fits every model.
    """
    arrays = read_arrays(path, _HINT)
    latents = _parse(path, arrays, model.recipe.model)
    made_with = arrays.get(MODEL_NOTE)
    if latents.space == "z" or made_with is None:
        return latents
    identity = model_identity(model.path)
    if str(made_with) != identity:
        raise DataError(
            f"{path}: holds {latents.space} of another model ({made_with}; {model.path} is {identity})",
            "Give the --checkpoint of the model that made the file.",
        )
    return latents


def _parse(path: Path, arrays: Mapping[str, np.ndarray], section: ModelSection) -> Latents:
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
        raise DataError(f"{path}: {space} is {array.dtype} {list(array.shape)}; this model needs [{wanted}]", _HINT)
    if not np.isfinite(array).all():
        raise DataError(f"{path}: {space} holds values that are not finite")
    return Latents(space, torch.from_numpy(array.astype(np.float32)))


def write_latents(path: Path, latents: Latents, notes: Mapping[str, str] | None = None) -> None:
    """Write codes to a file that `read_latents` reads. Each note becomes an entry of its own.

    With a note `model`, the model's identity, `open_latents` refuses w and w_plus of another model.

    Raises:
        ResourceError: the file cannot be written.
    """
    arrays: dict[str, Any] = {latents.space: latents.values.detach().float().cpu().numpy()}
    arrays |= {name: np.array(text) for name, text in (notes or {}).items()}
    write_arrays(path, arrays)
