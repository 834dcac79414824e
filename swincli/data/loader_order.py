"""Order of the training images: a pure function of the seed and the number of images seen.

No sampler state is saved. A resumed run asks for the next positions. The sequence is the same however a run is divided
into calls, ranks or sessions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def training_indices(num_images: int, seed: int, start: int, count: int) -> NDArray[np.int64]:
    """Indices of the images at positions `start` to `start + count - 1` of training.

    Position p is the (p mod num_images)-th image of epoch p // num_images. Each epoch is its own permutation, which
    depends only on the seed and the epoch. It is made from raw Philox bits, because numpy guarantees that they never
    change.

    Args:
        num_images: Images in the data set.
        seed: The run's seed.
        start: Images seen before.
        count: Number of indices. They may span several epochs.

    Returns:
        int64 [count].

    Raises:
        ValueError: There are no images, or a number is negative.
    """
    if num_images < 1 or min(seed, start, count) < 0:
        raise ValueError(f"no order of {num_images} images with seed {seed} from {start} for {count}")
    indices = np.empty(count, np.int64)
    done = 0
    while done < count:
        epoch, offset = divmod(start + done, num_images)
        taken = min(num_images - offset, count - done)
        indices[done : done + taken] = _permutation(num_images, seed, epoch)[offset : offset + taken]
        done += taken
    return indices


@lru_cache(maxsize=4)
def _permutation(num_images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    bits = np.random.Philox(np.random.SeedSequence((seed, epoch)))
    order = np.argsort(bits.random_raw(num_images), kind="stable").astype(np.int64, copy=False)
    order.flags.writeable = False
    return order
