"""Directions with names: small safetensors files that belong to one model, and where they lie.

A direction says where to move (a unit vector in w, or style channels), how far a step of 1 is (a standard deviation of
w along it) and how well it was found. A step is therefore the same for every direction and every model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from swincli.errors import CheckpointError, DataError, ResourceError, UsageError, did_you_mean
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.model.files.shipped_models import shipped_models
from swincli.model.files.tensor_file import read_tensors, write_tensors
from swincli.synthesis.latents.style_channels import StyleChannel, missing_channels
from swincli.system.cache import cache_folder

FORMAT = "swincli-direction-1"
KEY = "swincli-direction"  # of the metadata
SUFFIX = ".safetensors"
FOLDER = "directions"

Space = Literal["w", "style"]


@dataclass(frozen=True, eq=False)
class Judge:
    """A linear score of the probe's features: `features @ weights + bias`.

    Attributes:
        weights: `[D]`.
        bias: Its bias.
        spread: Standard deviation of the score over generated images.
    """

    weights: Tensor
    bias: float
    spread: float


@dataclass(frozen=True, eq=False)
class NamedDirection:
    """A direction of one model.

    Attributes:
        name: Its name.
        space: "w", or "style" for style channels.
        vector: Unit vector: `[latent_dim]` in w, or one number a channel.
        sigma: Length of a step of 1: the standard deviation of `w @ vector`. For style channels those of each channel
            are in the vector already, and it is 1.
        layers: Codes of w+ that it moves; empty for style channels.
        channels: The style channels; empty in w.
        model: Identity of the model's file.
        source: How it was found, in words.
        quality: Numbers about it by name, such as "accuracy".
        judge: The score that found it; None if there is none.
    """

    name: str
    space: Space
    vector: Tensor
    sigma: float
    layers: tuple[int, ...]
    model: str
    source: str
    channels: tuple[StyleChannel, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    judge: Judge | None = None

    @property
    def digest(self) -> str:
        """A short hash of what it does."""
        where = f"{self.layers} {[str(channel) for channel in self.channels]} {self.sigma!r}"
        return hashlib.sha256(self.vector.numpy().tobytes() + where.encode()).hexdigest()[:8]


def check_name(name: str) -> str:
    """Check the name of a direction.

    Raises:
        UsageError: it is not made of letters, digits, - and _.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        raise UsageError(
            f"{name!r}: not a name for a direction", "Use a letter, then letters, digits, - and _, such as red-hat."
        )
    return name


def directions_folder(model: Model) -> Path:
    """Where a model's directions lie: `directions/IDENTITY` beside its file; for models that come along, in the cache.

    Raises:
        ResourceError: the model comes along, and there is no cache folder.
    """
    place: Path | None = model.path.parent
    if model.path in shipped_models().values():
        place = cache_folder()
    if place is None:
        raise ResourceError("directions: there is no home folder for them", "Set SWINCLI_CACHE to a folder, or --out.")
    return place / FOLDER / model_identity(model.path)


def known_directions(model: Model) -> dict[str, Path]:
    """Files of a model's directions by name, sorted."""
    return {path.stem: path for path in sorted(directions_folder(model).glob(f"*{SUFFIX}"))}


def open_direction(model: Model, text: str) -> NamedDirection:
    """A direction by its name or its file, for a model.

    Raises:
        UsageError: the model has no direction of this name.
        DataError: there is no such file, or it belongs to another model.
        CheckpointError: the file is damaged or no direction.
    """
    if text.endswith(SUFFIX):
        path = Path(text)
        if not path.is_file():
            raise DataError(f"{text}: no such direction", "`swincli directions list` shows those of a model.")
        return read_direction(path, model)
    known = known_directions(model)
    if text not in known:
        hint = f"Known: {', '.join(known)}." if known else f"Find it: swincli directions find {text} ..."
        raise UsageError(f"{text}: {model.path} has no direction of this name{did_you_mean(text, known)}", hint)
    return read_direction(known[text], model)


def save_direction(path: Path, direction: NamedDirection) -> None:
    """Write a direction.

    Raises:
        ResourceError: the file cannot be written.
    """
    about: dict[str, Any] = {
        "format": FORMAT,
        "name": direction.name,
        "space": direction.space,
        "sigma": direction.sigma,
        "layers": list(direction.layers),
        "channels": [str(channel) for channel in direction.channels],
        "model": direction.model,
        "source": direction.source,
        "quality": dict(direction.quality),
    }
    tensors = {"vector": direction.vector.float().contiguous().cpu()}
    if direction.judge is not None:
        tensors["judge"] = direction.judge.weights.float().contiguous().cpu()
        about["judge"] = {"bias": direction.judge.bias, "spread": direction.judge.spread}
    write_tensors(path, tensors, KEY, about)


def read_direction(path: Path, model: Model) -> NamedDirection:
    """Read a direction for a model.

    Tuned weights leave w as it is, so a direction of the base model holds for it with `--tuned`.

    Raises:
        DataError: it belongs to another model.
        CheckpointError: the file is damaged or no direction.
    """
    about, tensors = read_tensors(path, KEY)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a direction", "`swincli directions find` makes them.")
    identity = model_identity(model.path)
    if about.get("model") != identity:
        raise DataError(
            f"{path}: a direction of another model ({about.get('model')}; {model.path} is {identity})",
            "Give the --checkpoint that it was found on, or find it anew: other averages and later snapshots of a run "
            "are other models.",
        )
    try:
        direction = _parse(about, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    _check_fit(path, direction, model)
    return direction


def _parse(about: dict[str, Any], tensors: dict[str, Tensor]) -> NamedDirection:
    judge = None
    if "judge" in tensors:
        judge = Judge(tensors["judge"].float(), float(about["judge"]["bias"]), float(about["judge"]["spread"]))
    if about["space"] not in ("w", "style"):
        raise ValueError(f"unknown space {about['space']}")
    return NamedDirection(
        name=_parse_name(about["name"]),
        space=about["space"],
        vector=tensors["vector"].float(),
        sigma=float(about["sigma"]),
        layers=tuple(map(int, about["layers"])),
        model=str(about["model"]),
        source=str(about["source"]),
        channels=tuple(map(StyleChannel.parse, about["channels"])),
        quality={str(name): float(value) for name, value in about["quality"].items()},
        judge=judge,
    )


def _parse_name(text: object) -> str:
    """The name in a file, which also names files that are written: those of somebody else may say anything.

    Raises:
        ValueError: it is none.
    """
    try:
        return check_name(str(text))
    except UsageError as error:
        raise ValueError(error.message) from None


def _check_fit(path: Path, direction: NamedDirection, model: Model) -> None:
    section = model.recipe.model
    if direction.space == "style":
        fits = len(direction.vector) == len(direction.channels)
        fits = fits and not missing_channels(model.generator, direction.channels)
    else:
        fits = direction.vector.shape == (section.latent_dim,) and all(
            0 <= layer < section.num_ws for layer in direction.layers
        )
    if not fits or not torch.isfinite(direction.vector).all():
        raise CheckpointError(f"{path}: damaged: it does not fit the model that it names")
