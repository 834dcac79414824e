"""Images of seeds in batches, and images of given codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.model.pixels import to_pictures
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.truncation import NO_TRUNCATION, Truncation

MAX_BATCH_PIXELS = 2**20  # of the default batch


def default_sampling_batch(size: int) -> int:
    """Default number of images per forward pass, by image side: 64 at 128 px, 16 at 256 px, 1 at 1024 px."""
    return max(1, min(64, MAX_BATCH_PIXELS // size**2))


def generate(
    model: Model,
    seeds: Sequence[int],
    *,
    truncation: Truncation = NO_TRUNCATION,
    batch: int | None = None,
    labels: Tensor | None = None,
) -> Iterator[Tensor]:
    """Images of seeds, in their order: batches uint8 `[B, H, W, 3]` on the CPU.

    A seed gives the same image at every batch size beyond rounding: no channel differs by more than one level of 255.

    Args:
        model: A model from `load_model`.
        seeds: One per image.
        truncation: Of w, towards the model's mean w unless it has its own centres.
        batch: Images per forward pass. Default: `default_sampling_batch`.
        labels: For a conditional model: one label per image, int64 `[N]`. Default: drawn as in `w_of_seeds`.
    """
    step = batch or default_sampling_batch(model.recipe.model.size)
    for start in range(0, len(seeds), step):
        part = slice(start, start + step)
        yield render(model, codes_of_seeds(model, seeds[part], truncation, None if labels is None else labels[part]))


@torch.inference_mode()
def render(model: Model, w_plus: Tensor) -> Tensor:
    """Images of w+ `[B, L, latent_dim]` in one forward pass: uint8 `[B, H, W, 3]` on the CPU."""
    section = model.recipe.model
    return to_pictures(model.generator.synthesise(w_plus), section.pixel_mean, section.pixel_std).cpu()
