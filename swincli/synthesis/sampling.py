"""Images of seeds, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from swincli.model.pixels import to_pictures
from swincli.model.weights import Model
from swincli.synthesis.latents import truncate, z_from_seeds

PIXELS_AT_ONCE = 2**20  # of a batch, where none is asked for


def default_batch(size: int) -> int:
    """Images of a side that fit a modest machine at once: 64 at 128 px, 16 at 256 px, 1 at 1024 px."""
    return max(1, min(64, PIXELS_AT_ONCE // size**2))


@torch.inference_mode()
def generate(
    model: Model, seeds: Sequence[int], *, truncation: float = 1.0, batch: int | None = None
) -> Iterator[Tensor]:
    """Images of seeds, in their order: uint8 `[B, H, W, 3]` on the CPU.

    A seed gives the same image at every batch size, but for rounding: no channel differs by more than one level of 255.

    Args:
        model: A model from `load_model`.
        seeds: One image each.
        truncation: Strength of `truncate` towards the model's mean w.
        batch: Images at once; by default as many as fit a modest machine.
    """
    section = model.recipe.model
    step = batch or default_batch(section.size)
    for start in range(0, len(seeds), step):
        z = z_from_seeds(seeds[start : start + step], section.latent_dim).to(model.device)
        w = truncate(model.generator.map(z), model.w_mean, truncation)
        images = model.generator.synthesise(model.generator.broadcast(w))
        yield to_pictures(images, section.pixel_mean, section.pixel_std).cpu()
