"""Projection of a photograph that was dropped on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from swincli.data.images.decode import LARGEST_PIXELS, PIXEL_BYTES, memory_need
from swincli.data.images.rejected import ImageError
from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.projection.inversion import InversionSettings, draw_start_points, invert
from swincli.projection.losses import FeatureNetwork, Objective
from swincli.projection.targets import Target, fit_picture
from swincli.view.worker.studio import Studio

Perceive = Callable[[Model], FeatureNetwork | None]
MOST_PIXELS = 50_000_000  # of an upload, before it is decoded
MOST_STEPS = 5000
SAMPLES = 32  # of w, as starts


class Watch(Protocol):
    """Called in every step with its number, the number of all, the loss and the code `[1, L, latent_dim]`."""

    def __call__(self, step: int, steps: int, loss: float, codes: Tensor) -> None: ...


@dataclass(frozen=True)
class Upload:
    """A picture to project.

    Attributes:
        name: Its file name, for messages.
        data: The whole file.
        space: "w" or "w+".
        steps: Steps of the optimisation.
    """

    name: str
    data: bytes
    space: Literal["w", "w+"] = "w+"
    steps: int = 200


def read_upload(upload: Upload, size: int, warn: Callable[[str], None]) -> Target:
    """Decode an upload by `data/images`, cropped to its central square and resized.

    Raises:
        ImageError: it is no picture, is damaged, or has too many pixels.
        UsageError: the settings cannot be.
    """
    if upload.space not in ("w", "w+") or not 1 <= upload.steps <= MOST_STEPS:
        raise UsageError(f"projection: {upload.steps} steps in {upload.space}; 1 to {MOST_STEPS:,} in w or w+ can be")
    if memory_need(upload.data, None) > MOST_PIXELS * PIXEL_BYTES:
        raise ImageError(upload.name, f"too large: over {MOST_PIXELS // 1_000_000} million pixels; make it smaller")
    assert MOST_PIXELS < LARGEST_PIXELS  # beyond which `memory_need` says nothing, and decoding refuses
    return fit_picture(upload.data, upload.name, "upload", size, "center", warn)


def project(studio: Studio, upload: Upload, perceive: Perceive, warn: Callable[[str], None], watch: Watch) -> Tensor:
    """The w+ of a picture, `[L, latent_dim]`.

    Raises:
        SwincliError: the picture cannot be read, or the optimisation fails.
    """
    model = studio.model
    section = model.recipe.model
    target = read_upload(upload, section.size, warn)
    objective = Objective(perceive(model), section.pixel_mean, section.pixel_std)
    plan = InversionSettings(space=upload.space, steps=upload.steps, samples=SAMPLES)

    def callback(step: int, codes: Tensor, losses: Tensor) -> None:
        watch(step, plan.steps, losses.mean().item(), codes)

    with torch.enable_grad():
        codes = invert(model, objective, [target], draw_start_points(model, plan.samples), plan, callback)
    return codes[0] if codes.ndim == 3 else codes.expand(model.generator.num_ws, -1)
