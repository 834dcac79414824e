"""Sample grids of a run: images of its EMA, and training images to compare them with."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from swincli.data.loader_order import training_indices
from swincli.data.store.reader import Store
from swincli.model.blocks.conditioning import forward_with_labels
from swincli.model.files.attributes import Attributes
from swincli.model.pixels import to_pictures
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.synthesis.figures.grids import tile
from swincli.synthesis.latents.attributes import distinct_rows, label_distances
from swincli.synthesis.latents.classes import labels_by_row, seeds_by_row
from swincli.synthesis.latents.codes import z_from_seeds
from swincli.synthesis.output.provenance import save_png
from swincli.synthesis.sampling import sampling_batch
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState
from swincli.training.step.labels import labels_at, training_attributes

_SIDE = 32  # pixels of the images whose distances are taken


@torch.no_grad()
def save_samples(folder: RunFolder, state: TrainingState) -> float:
    """Write the grid of the first seeds, the same in the whole run; in a conditional model each row has its labels.

    Returns:
        The diversity of its images; in a conditional model, the mean over rows.
    """
    model, (columns, rows) = state.recipe.model, state.recipe.run.grid
    device, seeds, labels = next(state.average.parameters()).device, list(range(columns * rows)), None
    if model.is_conditional:
        choices = _choices(model, state.attributes, rows)
        of_rows = labels_by_row(rows, len(choices))
        seeds = [seed for row in seeds_by_row(of_rows, columns) for seed in row]
        labels = choices[of_rows].to(device).repeat_interleave(columns, dim=0)
    z = z_from_seeds(seeds, model.latent_dim).to(device)
    images, step = [], sampling_batch(model, device)
    for start in range(0, len(z), step):
        part = slice(start, start + step)
        made = forward_with_labels(state.average, z[part], None if labels is None else labels[part])
        images.append(to_pictures(made, model.pixel_mean, model.pixel_std).cpu())
    pictures = torch.cat(images)
    save_png(folder.samples(state.images_seen), tile(pictures, columns))
    groups = pictures.split(columns) if model.is_conditional else [pictures]
    return sum(map(diversity, groups)) / len(groups)


def _choices(model: ModelSection, attributes: Attributes | None, rows: int) -> Tensor:
    """The labels that rows of a grid may have: all classes, `[classes]`, or labels of training images."""
    if attributes is None:
        return torch.arange(model.classes)
    return distinct_rows(attributes, rows)


def diversity(pictures: Tensor) -> float:
    """Mean distance of two images, from 0 to 1: the root mean square difference of their pixels, at 32 px at most.

    Args:
        pictures: uint8 `[N, H, W, 3]`; the diversity of a single one is 0.
    """
    if len(pictures) < 2:
        return 0.0
    small = F.adaptive_avg_pool2d(pictures.permute(0, 3, 1, 2).float() / 255, min(_SIDE, pictures.shape[1]))
    pixels = small.flatten(1)
    return float(torch.pdist(pixels).mean()) / math.sqrt(pixels.shape[1])


def save_reals(folder: RunFolder, recipe: Recipe, store: Store) -> None:
    """Write the grid of training images; in a conditional model the rows have the labels of `save_samples`."""
    columns, rows = recipe.run.grid
    path, seed = folder.path / "reals.png", recipe.train.seed
    if not recipe.model.is_conditional:
        indices = training_indices(len(store), seed, 0, min(columns * rows, len(store)))
        save_png(path, tile(torch.from_numpy(store.fetch(indices)), columns))
        return
    pictures = torch.zeros(rows, columns, recipe.model.size, recipe.model.size, 3, dtype=torch.uint8)
    attributes = training_attributes(recipe.model, store)
    of_rows = labels_by_row(rows, len(_choices(recipe.model, attributes, rows)))
    chosen = (
        images_by_row(store, seed, of_rows, columns)
        if attributes is None
        else _images_by_attributes(recipe, store, attributes, columns)
    )
    for row, indices in zip(pictures, chosen, strict=True):
        row[: len(indices)] = torch.from_numpy(store.fetch(indices))
    save_png(path, tile(pictures.flatten(0, 1), columns))


def images_by_row(store: Store, seed: int, labels: list[int], columns: int) -> list[NDArray[np.int64]]:
    """Indices of images for the rows of a grid: of each row's class, the next ones in the run's order of images.

    Args:
        store: Images with labels.
        seed: Seed of the run.
        labels: Class of each row.
        columns: Images per row; fewer if the class has no more images.
    """
    assert store.labels is not None
    order = training_indices(len(store), seed, 0, len(store))
    rest = {label: order[store.labels[order] == label] for label in set(labels)}
    chosen = []
    for label in labels:
        chosen.append(rest[label][:columns])
        rest[label] = rest[label][columns:]
    return chosen


def _images_by_attributes(
    recipe: Recipe, store: Store, attributes: Attributes, columns: int
) -> list[NDArray[np.int64]]:
    """Indices of images for the rows of a grid: those whose labels are closest to each row's, in the run's order."""
    rows = recipe.run.grid[1]
    choices = distinct_rows(attributes, rows)
    order = training_indices(len(store), recipe.train.seed, 0, len(store))
    labels, chosen = labels_at(recipe.model, store, order), []
    assert labels is not None
    of_rows = labels_by_row(rows, len(choices))
    for number, row in enumerate(of_rows):
        first = of_rows[:number].count(row) * columns
        wanted = {name: choices[row][place] for name, place in attributes.places.items()}
        closest = label_distances(attributes, labels, wanted).argsort(stable=True).numpy()
        chosen.append(order[closest[first : first + columns]])
    return chosen
