"""Images of seeds and of given codes, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.pixels import to_pictures
from swincli.model.weights import Model
from swincli.synthesis.classes import draw_labels
from swincli.synthesis.latent_files import Latents
from swincli.synthesis.latents import truncate, z_from_seeds

PIXELS_AT_ONCE = 2**20  # of a batch, where none is asked for


def default_batch(size: int) -> int:
    """Images of a side that fit a modest machine at once: 64 at 128 px, 16 at 256 px, 1 at 1024 px."""
    return max(1, min(64, PIXELS_AT_ONCE // size**2))


@torch.inference_mode()
def styles(model: Model, seeds: Sequence[int], truncation: float = 1.0, labels: Tensor | None = None) -> Tensor:
    """w of seeds, `[N, latent_dim]` on the model's device, truncated towards the model's mean w.

    A conditional model takes a label for every seed, int64 `[N]`, by default drawn from all classes alike, and
    truncates towards the mean w of the label's class.
    """
    z = z_from_seeds(seeds, model.recipe.model.latent_dim).to(model.device)
    if labels is None and model.classes is not None:
        labels = draw_labels(seeds, model.classes.even)
    if labels is None or model.w_mean_by_class is None:
        return truncate(model.generator.map(z), model.w_mean, truncation)
    labels = labels.to(model.device)
    return truncate(model.generator.map(z, labels), model.w_mean_by_class[labels], truncation)


@torch.inference_mode()
def generate(
    model: Model,
    seeds: Sequence[int],
    *,
    truncation: float = 1.0,
    batch: int | None = None,
    labels: Tensor | None = None,
) -> Iterator[Tensor]:
    """Images of seeds, in their order: uint8 `[B, H, W, 3]` on the CPU.

    A seed gives the same image at every batch size, but for rounding: no channel differs by more than one level of 255.

    Args:
        model: A model from `load_model`.
        seeds: One image each.
        truncation: Strength of `truncate` towards the model's mean w.
        batch: Images at once; by default as many as fit a modest machine.
        labels: Of a conditional model, the class of every image, int64 `[N]`; by default drawn as in `styles`.
    """
    step = batch or default_batch(model.recipe.model.size)
    for start in range(0, len(seeds), step):
        part = slice(start, start + step)
        w = styles(model, seeds[part], truncation, None if labels is None else labels[part])
        yield _render(model, model.generator.broadcast(w))


@torch.inference_mode()
def generate_from(
    model: Model, latents: Latents, *, truncation: float = 1.0, batch: int | None = None
) -> Iterator[Tensor]:
    """Images of given codes, in their order: uint8 `[B, H, W, 3]` on the CPU.

    Args:
        model: A model from `load_model`.
        latents: z, w or w+ that fit the model.
        truncation: Strength of `truncate` towards the model's mean w.
        batch: Images at once; by default as many as fit a modest machine.

    Raises:
        UsageError: z for a conditional model, whose w depends on the class as well.
    """
    if latents.space == "z" and model.classes is not None:
        raise UsageError("--latents: a z alone does not decide an image of a model with classes", "Give w or w_plus.")
    generator = model.generator
    for codes in latents.values.split(batch or default_batch(model.recipe.model.size)):
        codes = codes.to(model.device)
        w = truncate(generator.map(codes) if latents.space == "z" else codes, model.w_mean, truncation)
        yield _render(model, w if latents.space == "w_plus" else generator.broadcast(w))


def _render(model: Model, w_plus: Tensor) -> Tensor:
    section = model.recipe.model
    return to_pictures(model.generator.synthesise(w_plus), section.pixel_mean, section.pixel_std).cpu()
