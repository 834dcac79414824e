"""A look at the newest model's samples: the training images nearest to them, and their power spectrum.

Both need no detector, so a report needs no weights of other networks. Nearest means nearest by pixels, at 16 px: this
finds copies, also with other colours or a little moved, and not images that only share a subject.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import DataError
from swincli.metrics.definitions.memorization import NearestReals
from swincli.metrics.definitions.prdc import BLOCK, centred, squared_distances
from swincli.metrics.definitions.spectrum import ImageSpectrum, SpectrumDifference, SpectrumSum
from swincli.model.files.model_file import Model
from swincli.synthesis.sampling import generate

SIDE = 16  # pixels at which images are compared
MOST_REALS, MOST_BYTES = 20_000, 2**32  # training images that are compared, evenly spread, and their bytes
SPECTRUM_REALS = 512
_READ_BYTES = 2**26  # images of the store at a time


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        samples: Images of the seeds 0, 1, ..., uint8 `[N, H, W, 3]`.
        reals: The nearest training image of each, uint8 `[N, H, W, 3]`.
        nearest: Their indices and distances; the ratio is 0 for a copy, and above 1 where no image is unusually near.
        compared: Training images that were compared.
        spectrum: Spectra of the samples and of as many reals at most as `SPECTRUM_REALS`.
    """

    samples: NDArray[np.uint8]
    reals: NDArray[np.uint8]
    nearest: NearestReals
    compared: int
    spectrum: SpectrumDifference


def examine(model: Model, store: Store, count: int, console: Console) -> Examination:
    """Draw `count` samples and look for the training images nearest to them.

    Args:
        model: The newest model of the run.
        store: Its training images.
        count: At least 1.
        console: Shows progress.

    Raises:
        DataError: an image of the store cannot be read, or the store has images of another size than the model.
    """
    if store.resolution != model.recipe.model.size:
        raise DataError(
            f"{store.path}: has images of {store.resolution} px, not of {model.recipe.model.size} px as in training"
        )
    with console.progress("Drawing samples", count) as advance:
        drawn = []
        for batch in generate(model, range(count)):
            drawn.append(batch.numpy())
            advance(len(batch))
    samples = np.concatenate(drawn)
    size = 3 * store.resolution**2
    most, step = min(len(store), MOST_REALS, MOST_BYTES // size), max(1, _READ_BYTES // size)
    indices = np.unique(np.linspace(0, len(store) - 1, most).astype(np.int64))
    reals, spectra = [], SpectrumSum()
    with console.progress("Comparing", len(indices)) as advance:
        for start in range(0, len(indices), step):
            images = store.fetch(indices[start : start + step])
            reals.append(_small(images))
            for image in images[: max(0, SPECTRUM_REALS - start)]:
                spectra.add(ImageSpectrum.from_image(image))
            advance(len(images))
    nearest = _nearest(_small(samples), np.concatenate(reals))
    real, fake = spectra.spectrum(), SpectrumSum()
    for image in samples:
        fake.add(ImageSpectrum.from_image(image))
    fakes = fake.spectrum()
    assert fakes is not None
    assert real is not None
    chosen = indices[nearest.real]
    order = np.argsort(chosen)  # a store reads in order
    found = np.empty_like(samples)
    found[order] = store.fetch(chosen[order])
    window = model.recipe.model.window_at(model.recipe.model.size)
    return Examination(samples, found, nearest, len(indices), SpectrumDifference(fakes, real, window))


def _small(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels at `SIDE`, without their mean colour: float32 `[N, 3 SIDE SIDE]`."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    small = F.adaptive_avg_pool2d(pixels, min(SIDE, pixels.shape[-1]))
    return (small - small.mean(dim=(2, 3), keepdim=True)).flatten(1).numpy()


def _nearest(fakes: NDArray[np.float32], reals: NDArray[np.float32]) -> NearestReals:
    """As `nearest_reals`, but with the spacing of the chosen reals only, which is all that is shown."""
    f, r = centred(fakes, reals, None)
    smallest = [squared_distances(rows, r).min(dim=1) for rows in f.split(BLOCK)]
    squared, real = (torch.cat([block[part] for block in smallest]) for part in (0, 1))
    spacing = torch.cat([_spacing(part, r) for part in real.split(BLOCK)])
    return NearestReals(real.numpy(), squared.sqrt().numpy(), spacing.sqrt().numpy())


def _spacing(chosen: Tensor, reals: Tensor) -> Tensor:
    """Squared distances [N] of chosen rows of the reals to their nearest other row; infinite if there is none."""
    squared = squared_distances(reals[chosen], reals)
    squared[torch.arange(len(chosen)), chosen] = torch.inf
    return squared.min(dim=1).values
