"""Sample grids of a run: images of its EMA, and training images to compare them with."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from swincli.data.images.digital_source import TRAINED
from swincli.data.loader_order import training_indices
from swincli.data.store.reader import Store
from swincli.model.blocks.conditioning import forward_with_labels
from swincli.model.pixels import to_pictures
from swincli.recipe import Recipe
from swincli.synthesis.figures.grids import tile
from swincli.synthesis.latents.classes import labels_by_row, seeds_by_row
from swincli.synthesis.latents.codes import z_from_seeds
from swincli.synthesis.output.provenance import save_png
from swincli.synthesis.sampling import sampling_batch
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState

_SIDE = 32  # pixels of the images whose distances are taken


@torch.no_grad()
def save_samples(folder: RunFolder, state: TrainingState) -> float:
    """Write the grid of the first seeds, the same in the whole run; in a conditional model each row is one class.

    Returns:
        The diversity of its images; in a conditional model, the mean over rows.
    """
    model, (columns, rows) = state.recipe.model, state.recipe.run.grid
    device, seeds, labels = next(state.average.parameters()).device, list(range(columns * rows)), None
    if model.classes:
        of_rows = labels_by_row(rows, model.classes)
        seeds = [seed for row in seeds_by_row(of_rows, columns) for seed in row]
        labels = torch.tensor(of_rows, device=device).repeat_interleave(columns)
    z = z_from_seeds(seeds, model.latent_dim).to(device)
    images, step = [], sampling_batch(model, device)
    for start in range(0, len(z), step):
        part = slice(start, start + step)
        made = forward_with_labels(state.average, z[part], None if labels is None else labels[part])
        images.append(to_pictures(made, model.pixel_mean, model.pixel_std).cpu())
    pictures = torch.cat(images)
    save_png(folder.samples(state.images_seen), tile(pictures, columns), source_type=TRAINED)
    groups = pictures.split(columns) if model.classes else [pictures]
    return sum(map(diversity, groups)) / len(groups)


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
    """Write the grid of training images; in a conditional model each row is one class."""
    columns, rows = recipe.run.grid
    path, seed = folder.path / "reals.png", recipe.train.seed
    if not recipe.model.classes:
        indices = training_indices(len(store), seed, 0, min(columns * rows, len(store)))
        save_png(path, tile(torch.from_numpy(store.fetch(indices)), columns))
        return
    pictures = torch.zeros(rows, columns, recipe.model.size, recipe.model.size, 3, dtype=torch.uint8)
    chosen = images_by_row(store, seed, labels_by_row(rows, recipe.model.classes), columns)
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
