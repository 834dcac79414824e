"""Images to be made, of seeds and of the codes of a file, with the codes that they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.classes import name_images
from swincli.synthesis.latents.codes import codes_of_latents, codes_of_seeds
from swincli.synthesis.latents.files import Latents, Space, name_latents
from swincli.synthesis.latents.named_images import Drawing
from swincli.synthesis.latents.seeds import z_from_seeds
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sampling import default_batch, render


def draw_seeds(model: Model, seeds: list[int], of_class: str | None, truncation: Truncation) -> Drawing:
    """Images of seeds, of the classes that `of_class` names; see `name_images`.

    Raises:
        UsageError: the model has no such class, or none at all.
    """
    named = name_images(model, seeds, of_class)

    def codes(chosen: Sequence[int]) -> Tensor:
        labels = None if named.labels is None else named.labels[list(chosen)]
        return codes_of_seeds(model, [named.seeds[index] for index in chosen], truncation, labels)

    return Drawing(named, codes)


def draw_latents(model: Model, latents: Latents, path: Path, truncation: Truncation) -> Drawing:
    """Images of the codes of a file.

    Raises:
        UsageError: z for a conditional model, whose w depends on the class as well.
    """

    def codes(chosen: Sequence[int]) -> Tensor:
        return codes_of_latents(model, Latents(latents.space, latents.values[list(chosen)]), truncation)

    codes([0])
    return Drawing(name_latents(latents, path), codes)


def pictures_of(model: Model, drawing: Drawing, chosen: Sequence[int], batch: int | None) -> Iterator[Tensor]:
    """The images of some indices, in their order: uint8 `[B, H, W, 3]` on the CPU.

    An image is the same whatever is drawn beside it, but for rounding: no channel differs by more than one level of
    255.
    """
    for part in batches(chosen, batch or default_batch(model.recipe.model.size)):
        yield render(model, drawing.codes(part))


def collect_codes(model: Model, drawing: Drawing, space: Space) -> Latents:
    """The codes that the images are made of, on the CPU; w+ and w as they are after truncation and mixing, z as drawn.

    Raises:
        UsageError: codes of that kind do not decide the images: z of codes from a file, of mixed ones or of a
            conditional model, w where an image has several.
    """
    seeds = drawing.named.seeds
    if space == "z":
        if not seeds or drawing.named.labels is not None:
            raise UsageError("--save-space z: only images of seeds, of a model without classes, are made of a z alone")
        return Latents("z", z_from_seeds(seeds, model.recipe.model.latent_dim))
    parts = [drawing.codes(part).cpu() for part in batches(range(len(drawing)), 256)]
    w_plus = torch.cat(parts)
    if space == "w_plus":
        return Latents("w_plus", w_plus)
    if not torch.equal(w_plus, w_plus[:, :1].expand_as(w_plus)):
        raise UsageError("--save-space w: an image has codes that differ from layer to layer", "Save w_plus.")
    return Latents("w", w_plus[:, 0])


def batches(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """The items, so many at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
