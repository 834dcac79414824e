"""Images of seeds, batch by batch, and of codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.model.pixels import to_pictures
from swincli.synthesis.latents.codes import WHOLE, codes_of_seeds
from swincli.synthesis.latents.truncation import Truncation

PIXELS_AT_ONCE = 2**20  # of a batch, where none is asked for


def default_batch(size: int) -> int:
    """Images of a side that fit a modest machine at once: 64 at 128 px, 16 at 256 px, 1 at 1024 px."""
    return max(1, min(64, PIXELS_AT_ONCE // size**2))


def generate(
    model: Model,
    seeds: Sequence[int],
    *,
    truncation: Truncation = WHOLE,
    batch: int | None = None,
    labels: Tensor | None = None,
) -> Iterator[Tensor]:
    """Images of seeds, in their order: uint8 `[B, H, W, 3]` on the CPU.

    A seed gives the same image at every batch size, but for rounding: no channel differs by more than one level of 255.

    Args:
        model: A model from `load_model`.
        seeds: One image each.
        truncation: Of their w, towards the model's mean w unless it has centres of its own.
        batch: Images at once; by default as many as fit a modest machine.
        labels: Of a conditional model, the class of every image, int64 `[N]`; by default drawn as in `w_of_seeds`.
    """
    step = batch or default_batch(model.recipe.model.size)
    for start in range(0, len(seeds), step):
        part = slice(start, start + step)
        yield render(model, codes_of_seeds(model, seeds[part], truncation, None if labels is None else labels[part]))


@torch.inference_mode()
def render(model: Model, w_plus: Tensor) -> Tensor:
    """Images of w+ `[B, L, latent_dim]`, all at once: uint8 `[B, H, W, 3]` on the CPU."""
    section = model.recipe.model
    return to_pictures(model.generator.synthesise(w_plus), section.pixel_mean, section.pixel_std).cpu()
