"""Class labels in training: of the images, and random ones for the latents with the same class frequencies."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.data.store.reader import Store
from swincli.errors import DataError
from swincli.model.files.classes import Classes
from swincli.training.rng import derive


def training_classes(classes: int, store: Store) -> Classes | None:
    """Names and image counts of the store's classes; None for an unconditional model (`classes=0`).

    Raises:
        DataError: the store has no labels, or another number of classes than `model.classes`.
    """
    if not classes:
        return None
    names = store.manifest.label_names
    if store.labels is None or names is None:
        raise DataError(
            f"{store.path}: its images have no labels, but model.classes is {classes}",
            "Prepare the store again with --labels, or set model.classes=0.",
        )
    if len(names) != classes:
        raise DataError(
            f"{store.path}: its labels have {len(names)} classes, but model.classes is {classes}",
            f"Set model.classes={len(names)}, or 0 to train without classes.",
        )
    return Classes(tuple(names), tuple(np.bincount(store.labels, minlength=classes).tolist()))


def batch_labels(store: Store, indices: NDArray[np.int64], seed: int, images_seen: int) -> Tensor:
    """Labels of a step's images, of D's latents and of G's latents: int64 `[3, B]` on the CPU.

    A latent gets the label of a random image of the store, so classes are as frequent among fakes as among reals.
    """
    assert store.labels is not None
    labels = torch.from_numpy(store.labels)
    drawn = torch.randint(len(labels), (2, len(indices)), generator=derive(seed, "labels", images_seen))
    return torch.cat([labels[torch.from_numpy(indices)][None], labels[drawn]])
