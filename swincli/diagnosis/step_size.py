"""Size of the profiled steps: the training batch if a step is quick enough and fits into memory, else fewer images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swincli.training.step.batch_shards import BatchSplit
from swincli.units import format_items

LONGEST_STEP = 15.0  # seconds; a size with a longer step is not tried, and a longer step gets one warm-up only


@dataclass(frozen=True)
class StepSize:
    """Images of one training step.

    Attributes:
        micro_batch_size: Images of one forward and backward.
        micro_batches: Micro-batches whose gradients each phase sums.
    """

    micro_batch_size: int
    micro_batches: int = 1

    @property
    def total(self) -> int:
        """Images of the whole step."""
        return self.micro_batch_size * self.micro_batches

    def __str__(self) -> str:
        images = format_items(self.micro_batch_size, "image")
        return images if self.micro_batches == 1 else f"{self.micro_batches} x {images}"


def candidate_sizes(split: BatchSplit) -> list[StepSize]:
    """Sizes to try, smallest first: one image, divisors of a micro-batch in whole groups, a micro-batch, the batch."""
    whole = split.micro_batch_size
    sizes = [size for size in range(1, whole + 1) if size == 1 or (whole % size == 0 and size % split.group == 0)]
    return [*map(StepSize, sizes), *([StepSize(whole, split.micro_batches)] if split.micro_batches > 1 else [])]


@dataclass(frozen=True)
class SizeMeasurement:
    """Time and memory of a step of one size, and predictions for other sizes.

    Attributes:
        size: Images of the step.
        seconds: Time of the step.
        fixed_bytes: Bytes in use for any number of images: the program, weights, moments, averages, gradients.
        peak_bytes: Most bytes in use.
    """

    size: StepSize
    seconds: float
    fixed_bytes: int
    peak_bytes: int

    def predict_memory(self, images: int) -> int:
        """Predicted peak memory: fixed bytes plus measured bytes per image times `images` (of a micro-batch)."""
        return self.fixed_bytes + max(self.peak_bytes - self.fixed_bytes, 0) * images // self.size.micro_batch_size

    def largest_micro_batch(self, memory: int) -> int:
        """Images of the largest micro-batch predicted to fit into `memory` bytes."""
        activations = max(self.peak_bytes - self.fixed_bytes, 1)
        return max(memory - self.fixed_bytes, 0) * self.size.micro_batch_size // activations

    def predict_seconds(self, size: StepSize) -> float:
        """Predicted time of a step of another size."""
        return self.seconds * size.total / self.size.total


def next_size(
    measured: SizeMeasurement, sizes: Sequence[StepSize], too_large: Sequence[StepSize], limit: int | None
) -> StepSize | None:
    """The largest size above the measured one that is worth trying; None if there is none.

    Args:
        measured: The largest size that has run.
        sizes: All candidates.
        too_large: Sizes that did not fit into memory.
        limit: Most bytes that may be in use; None if running out of memory does no harm.
    """
    for size in sorted(sizes, key=lambda size: size.total, reverse=True):
        fits = limit is None or measured.predict_memory(size.micro_batch_size) <= limit
        below = all(size.total < other.total for other in too_large)
        if size.total > measured.size.total and below and fits and measured.predict_seconds(size) <= LONGEST_STEP:
            return size
    return None
