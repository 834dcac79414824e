"""Loading training images: prefetched from disk by a thread, or kept in device memory (`data.resident`).

Both loaders return the same images; only the speed differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.data.loader_order import training_indices
from swincli.data.store.manifest import CHANNELS
from swincli.data.store.reader import Store
from swincli.errors import ResourceError
from swincli.recipe import Recipe
from swincli.system.device_copy import send
from swincli.system.resources import available_memory
from swincli.training.losses.adversarial import ADVERSARIAL
from swincli.training.step.batch_shards import BatchSplit
from swincli.units import format_bytes

RESIDENT_SHARE = 0.25  # "auto" keeps the images in device memory if they need at most this share of the free memory
_CHUNK = 256  # images per copy while the device memory is filled


class ImageLoader(Protocol):
    """Gives a rank its images of each step."""

    def images(self, images_seen: int) -> Tensor:
        """This rank's images of the step after `images_seen` images, uint8 `[per_rank, H, W, 3]` on the device.

        With paired logits there are twice as many: D's reals, then those that G's fakes are compared with.

        Raises:
            DataError: they cannot be read.
            ResourceError: the system refuses to read them.
        """
        ...


class RankSampler:
    """Which images of the store a rank trains on at a step: a function of seed and images seen.

    Args:
        recipe: Seed and batch.
        images: Images in the store.
        mine: Positions of this rank's images in the batch.
    """

    def __init__(self, recipe: Recipe, images: int, mine: Tensor) -> None:
        self._seed, self._images, self._mine = recipe.train.seed, images, mine.numpy()
        self.batch, self.paired = recipe.train.batch, ADVERSARIAL[recipe.loss.adversarial].paired

    def at(self, images_seen: int) -> NDArray[np.int64]:
        """Indices into the store of this rank's images, int64 `[per_rank]`; `[2 per_rank]` with paired logits."""
        first, second = self.batch_indices(images_seen)
        own: NDArray[np.int64] = first[self._mine]
        return own if second is None else np.concatenate([own, second[self._mine]])

    def batch_indices(self, images_seen: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Indices of the whole batch: of D's reals, and of other images for G's phase (in the next seed's order)."""
        first = training_indices(self._images, self._seed, images_seen, self.batch)
        if not self.paired:
            return first, None
        return first, training_indices(self._images, (self._seed + 1) % 2**32, images_seen, self.batch)


class PrefetchLoader:
    """Reads from disk. A thread reads the next batch while the networks train on the current one.

    On CUDA the batch is read into pinned memory, and nothing waits for its copy. The copy is queued with the step's
    other work: 3 MiB of images at 256 px take the device 0.1 ms.
    """

    def __init__(self, store: Store, sampler: RankSampler, device: torch.device, thread: ThreadPoolExecutor) -> None:
        self._store, self._sampler, self._device, self._thread = store, sampler, device, thread
        self._next_at: int | None = None
        self._next: Future[Tensor] | None = None

    def images(self, images_seen: int) -> Tensor:
        """See `ImageLoader.images`."""
        if self._next is not None and self._next_at == images_seen:
            batch = self._next.result()
            self._next = None
        else:
            batch = self._read(images_seen)
        following = images_seen + self._sampler.batch
        if self._next is None or self._next_at != following:
            self._next_at, self._next = following, self._thread.submit(self._read, following)
        # PyTorch's allocator does not reuse pinned memory before its asynchronous copy has ended
        return batch.to(self._device, non_blocking=self._device.type != "mps")

    def _read(self, images_seen: int) -> Tensor:
        indices = self._sampler.at(images_seen)
        side = self._store.resolution
        pinned = self._device.type == "cuda"
        batch = torch.empty((len(indices), side, side, CHANNELS), dtype=torch.uint8, pin_memory=pinned)
        self._store.fetch(indices, batch.numpy())
        return batch


class InMemoryLoader:
    """Takes batches from all images in device memory, uint8 `[N, H, W, 3]`."""

    def __init__(self, everything: Tensor, sampler: RankSampler) -> None:
        self._everything, self._sampler = everything, sampler

    def images(self, images_seen: int) -> Tensor:
        """See `ImageLoader.images`."""
        indices = torch.from_numpy(self._sampler.at(images_seen))
        return self._everything.index_select(0, send(indices, self._everything.device))


@contextmanager
def open_loader(
    recipe: Recipe, store: Store, split: BatchSplit, rank: int, device: torch.device
) -> Iterator[ImageLoader]:
    """The loader for `data.resident`; leaving the block ends its thread.

    Args:
        recipe: The experiment.
        store: Training images.
        split: How the batch is split over ranks.
        rank: Rank of this process.
        device: Device of the networks.

    Raises:
        DataError: the images cannot be read.
        ResourceError: `data.resident` is "always" and they do not fit into memory.
    """
    sampler = RankSampler(recipe, len(store), split.rank_indices(rank))
    if is_resident(recipe, store, device, split.processes):
        yield InMemoryLoader(_load(store, device), sampler)
        return
    thread = ThreadPoolExecutor(1, thread_name_prefix="next-batch")
    try:
        yield PrefetchLoader(store, sampler, device, thread)
    finally:
        thread.shutdown(cancel_futures=True)


def is_resident(recipe: Recipe, store: Store, device: torch.device, processes: int = 1) -> bool:
    """Whether to keep all images in device memory.

    "auto" does so on CUDA if the images need at most a quarter of the free memory.

    Raises:
        ResourceError: `data.resident` is "always" and they do not fit.
    """
    wanted = recipe.data.resident
    if wanted == "never" or (wanted == "auto" and device.type != "cuda"):
        return False
    needed, free = resident_bytes(store), _free_bytes(device, processes)
    if wanted == "auto":
        return needed <= RESIDENT_SHARE * free
    if needed > free:
        raise ResourceError(
            f"data.resident: the images of {store.path} need {format_bytes(needed)}, {device} has "
            f"{format_bytes(free)} free",
            'Set data.resident to "never" or "auto".',
        )
    return True


def resident_bytes(store: Store) -> int:
    """Bytes of all images of a store as uint8 pixels."""
    return len(store) * store.resolution**2 * CHANNELS


def _free_bytes(device: torch.device, processes: int) -> int:
    """Free memory of a CUDA device; on a CPU, that of the machine or its container, divided by the processes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory() // processes


def _load(store: Store, device: torch.device) -> Tensor:
    side = store.resolution
    everything = torch.empty((len(store), side, side, CHANNELS), dtype=torch.uint8, device=device)
    for start in range(0, len(store), _CHUNK):
        part = store.fetch(np.arange(start, min(start + _CHUNK, len(store))))
        everything[start : start + len(part)].copy_(torch.from_numpy(part))
    return everything
