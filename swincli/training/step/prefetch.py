"""Bringing training images to the device: from the disk, a step ahead, or from the device's own memory.

All ways give the same images; which one is taken changes nothing but the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.data.loader_order import training_indices
from swincli.data.store.manifest import CHANNELS
from swincli.data.store.reader import Store
from swincli.errors import ResourceError
from swincli.recipe import Recipe
from swincli.training.step.batch_shards import BatchSplit
from swincli.units import format_bytes

RESIDENT_SHARE = 0.25  # of the memory that is free before training, that "auto" gives to the images
_AT_A_TIME = 256  # images on their way into the device's memory


class Feed(Protocol):
    """Where a process gets its images from."""

    def images(self, images_seen: int) -> Tensor:
        """This process's images of the step that follows so many images, uint8 `[share, H, W, 3]` on the device.

        Raises:
            DataError: they cannot be read.
            ResourceError: the system does not let them be read.
        """
        ...


class Positions:
    """Which images of the store are a process's at a step: a function of the seed and of the images seen.

    Args:
        recipe: Seed and batch.
        images: Images in the store.
        mine: Positions in the batch of this process's images.
    """

    def __init__(self, recipe: Recipe, images: int, mine: Tensor) -> None:
        self._seed, self._images, self._mine = recipe.train.seed, images, mine.numpy()
        self.batch = recipe.train.batch

    def at(self, images_seen: int) -> NDArray[np.int64]:
        """Indices into the store, int64 `[share]`."""
        indices: NDArray[np.int64] = training_indices(self._images, self._seed, images_seen, self.batch)[self._mine]
        return indices


class AheadFeed:
    """Reads from the disk; while the networks work on a batch, a thread reads the next one.

    On CUDA a batch is read into page-locked memory and copied while the device works.
    """

    def __init__(self, store: Store, positions: Positions, device: torch.device, thread: ThreadPoolExecutor) -> None:
        self._store, self._positions, self._device, self._thread = store, positions, device, thread
        self._coming_at: int | None = None
        self._coming: Future[Tensor] | None = None

    def images(self, images_seen: int) -> Tensor:
        """See `Feed.images`."""
        if self._coming is not None and self._coming_at == images_seen:
            batch = self._coming.result()
            self._coming = None
        else:
            batch = self._read(images_seen)
        following = images_seen + self._positions.batch
        if self._coming is None or self._coming_at != following:
            self._coming_at, self._coming = following, self._thread.submit(self._read, following)
        return batch.to(self._device, non_blocking=True)

    def _read(self, images_seen: int) -> Tensor:
        indices = self._positions.at(images_seen)
        side = self._store.resolution
        # The memory of a batch whose copy has not ended yet is not given out again: PyTorch's allocator sees to it.
        locked = self._device.type == "cuda"
        batch = torch.empty((len(indices), side, side, CHANNELS), dtype=torch.uint8, pin_memory=locked)
        self._store.fetch(indices, batch.numpy())
        return batch


class ResidentFeed:
    """Takes batches from images that all lie in the device's memory, uint8 `[N, H, W, 3]`."""

    def __init__(self, everything: Tensor, positions: Positions) -> None:
        self._everything, self._positions = everything, positions

    def images(self, images_seen: int) -> Tensor:
        """See `Feed.images`."""
        indices = torch.from_numpy(self._positions.at(images_seen))
        return self._everything.index_select(0, indices.to(self._everything.device))


@contextmanager
def open_feed(recipe: Recipe, store: Store, shares: BatchSplit, rank: int, device: torch.device) -> Iterator[Feed]:
    """The way that `data.resident` asks for; leaving the block ends its thread.

    Args:
        recipe: The experiment.
        store: Training images.
        shares: How the batch is dealt out.
        rank: Number of the process.
        device: Where the networks are.

    Raises:
        DataError: the images cannot be read.
        ResourceError: they are to lie in a memory that they do not fit into.
    """
    positions = Positions(recipe, len(store), shares.rank_indices(rank))
    if is_resident(recipe, store, device, shares.processes):
        yield ResidentFeed(_load(store, device), positions)
        return
    thread = ThreadPoolExecutor(1, thread_name_prefix="next-batch")
    try:
        yield AheadFeed(store, positions, device, thread)
    finally:
        thread.shutdown(cancel_futures=True)


def is_resident(recipe: Recipe, store: Store, device: torch.device, processes: int = 1) -> bool:
    """Whether all images are to lie in the device's memory.

    "auto" says so on CUDA where they take at most a quarter of what is free.

    Raises:
        ResourceError: the recipe asks for it, and they do not fit.
    """
    wanted = recipe.data.resident
    if wanted == "never" or (wanted == "auto" and device.type != "cuda"):
        return False
    needed, free = resident_bytes(store), _free_bytes(device, processes)
    if wanted == "auto":
        return needed <= RESIDENT_SHARE * free
    if needed > free:
        raise ResourceError(
            f"data.resident: the images of {store.path} take {format_bytes(needed)}, {device} has "
            f"{format_bytes(free)} free",
            'Set data.resident to "never", or leave it at "auto".',
        )
    return True


def resident_bytes(store: Store) -> int:
    """Memory that all images of a store take as pixels."""
    return len(store) * store.resolution**2 * CHANNELS


def _free_bytes(device: torch.device, processes: int) -> int:
    """Of a CUDA device, or of the machine's memory, which processes share."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available // processes


def _load(store: Store, device: torch.device) -> Tensor:
    side = store.resolution
    everything = torch.empty((len(store), side, side, CHANNELS), dtype=torch.uint8, device=device)
    for start in range(0, len(store), _AT_A_TIME):
        part = store.fetch(np.arange(start, min(start + _AT_A_TIME, len(store))))
        everything[start : start + len(part)].copy_(torch.from_numpy(part))
    return everything
