"""A picture of what D sees: training images under a recipe's transforms at several probabilities, and its blur."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from swincli.data.loader_order import training_indices
from swincli.data.store.reader import Store
from swincli.model.pixels import to_network, to_pictures
from swincli.recipe import Recipe
from swincli.synthesis.figures.labelled_grid import GridLabels, draw_labelled_grid
from swincli.synthesis.output.provenance import Output, read_note, save_image
from swincli.system.overwrite import check_overwrite
from swincli.training.augment.blur import blur_sigma, gaussian_blur
from swincli.training.augment.pipe import Augmentation
from swincli.training.augment.probability import final_probability, planned_probability
from swincli.training.preflight import check_data
from swincli.training.rng import derive

PROBABILITIES = (0.0, 0.3, 0.8)
NOTE = "swincli doctor --augment"
COLUMNS, WIDTH = 8, 2048  # most images in a row, and about the most pixels


@dataclass(frozen=True)
class AugmentPage:
    """A grid of training images: a row for each probability.

    Attributes:
        picture: uint8 `[H, W, 3]`.
        probabilities: Of the rows without a blur.
        images: Images in a row.
    """

    picture: Tensor
    probabilities: tuple[float, ...]
    images: int


def check_page_path(path: Path, *, force: bool) -> None:
    """Check, before any work, that the page may be written.

    Raises:
        DataError: the file exists and is no such page, and there is no `force`.
    """
    check_overwrite([path], force=force, is_own=lambda file: read_note(file) == NOTE)


def save_page(path: Path, page: AugmentPage) -> None:
    """Write the page as PNG.

    Raises:
        ResourceError: the file cannot be written.
    """
    save_image(Output(path, NOTE, source_type=None), page.picture)


def draw_augment_page(recipe: Recipe, store: Store) -> AugmentPage:
    """The first images of a run, as its first step draws the transforms, at p = 0, 0.3, 0.8 and the recipe's own.

    A higher p adds transforms to those of a lower one. With `augment.blur`, a last row shows the first step itself: the
    whole blur and the probability at the start. Training flips and APA are left out.

    Raises:
        DataError: the images do not fit the recipe, or cannot be read.
    """
    check_data(recipe, store)
    model, seed = recipe.model, recipe.train.seed
    count = min(COLUMNS, max(2, WIDTH // model.size), len(store))
    indices = training_indices(len(store), seed, 0, count)
    images = to_network(torch.from_numpy(store.fetch(indices)), model.pixel_mean, model.pixel_std)
    augmentation = Augmentation(recipe.augment, model)
    draws = augmentation.draw(count, derive(seed, "augment/d_real"))
    key, own = final_probability(recipe.augment)
    probabilities = tuple(sorted({*PROBABILITIES, own}))
    rows = {f"p = {p:g}" + (f" ({key})" if p == own else ""): (images, p) for p in probabilities}
    if sigma := blur_sigma(0, recipe.augment):
        start = planned_probability(recipe.augment, 0)
        rows[f"first step: blur of {sigma:g} px, p = {start:g}"] = gaussian_blur(images, sigma), start
    seen = torch.cat([augmentation.apply(row, augmentation.plan(draws, p)) for row, p in rows.values()])
    title = f"What D sees: {recipe.augment.transforms} ({', '.join(recipe.augment.chosen)})"
    factors = ", ".join(f"{name} {factor:g}" for name, factor in (recipe.augment.multipliers or {}).items())
    labels = GridLabels(title=f"{title}, p times: {factors}" if factors else title, rows=list(rows))
    pictures = list(to_pictures(seen, model.pixel_mean, model.pixel_std))
    return AugmentPage(draw_labelled_grid(pictures, count, labels), probabilities, count)
