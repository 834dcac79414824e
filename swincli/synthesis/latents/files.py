"""Latents as files: .npz with `z`, `w` or `w_plus`, as `swincli` and StyleGAN's tools write them."""

from __future__ import annotations

import hashlib
import zipfile
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
from swincli.synthesis.latents.named_images import NamedImages
from swincli.system.atomic_files import write_arrays

Space = Literal["z", "w", "w_plus"]
SPACES: tuple[Space, ...] = ("z", "w", "w_plus")
MODEL_NOTE = "model"  # the identity of the model that codes were made with
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


def write_latents(path: Path, latents: Latents, notes: Mapping[str, str] | None = None) -> None:
    """Write codes as a file that `read_latents` reads, with notes as entries of their own.

    A note `model`, the model's identity, keeps w and w_plus from being taken for another model's.

    Raises:
        ResourceError: the file cannot be written.
    """
    arrays: dict[str, Any] = {latents.space: latents.values.detach().float().cpu().numpy()}
    arrays |= {name: np.array(text) for name, text in (notes or {}).items()}
    write_arrays(path, arrays)


def open_latents(path: Path, model: Model) -> Latents:
    """Read the codes of a file for a model, as `read_latents` does.

    Raises:
        DataError: as there, or they are w of another model, by the file's own note; z are of no model.
    """
    latents = read_latents(path, model.recipe.model)
    made_with = _read(path).get(MODEL_NOTE)
    if latents.space == "z" or made_with is None:
        return latents
    identity = model_identity(model.path)
    if str(made_with) != identity:
        raise DataError(
            f"{path}: holds {latents.space} of another model ({made_with}; {model.path} is {identity})",
            "Give the --checkpoint that it was made with.",
        )
    return latents


def name_latents(latents: Latents, path: Path) -> NamedImages:
    """The images of a file's codes: latent-0000, latent-0001, ..."""
    numbers = range(len(latents))
    return NamedImages(
        stems=[f"latent-{number:04d}" for number in numbers],
        origins=[f"latents={path.name}#{number} code={_hash(latents.values[number])}" for number in numbers],
        captions=[f"code {number}" for number in numbers],
        seeds=[],
    )


def _hash(code: Tensor) -> str:
    """A short hash of a code: files of the same name may hold other ones."""
    return hashlib.sha256(code.numpy().tobytes()).hexdigest()[:12]


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
