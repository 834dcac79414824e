"""How many images the measured steps take: as many as training's where that is quick enough, fewer elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swincli.diagnosis.words import counted
from swincli.training.step.batch_shards import BatchSplit

LONGEST_STEP = 15.0  # seconds; a step that takes longer is not made larger, and is repeated once only


@dataclass(frozen=True)
class Load:
    """What a step works on.

    Attributes:
        images: Images of a pass.
        passes: How often a phase runs forwards and backwards.
    """

    images: int
    passes: int = 1

    @property
    def total(self) -> int:
        """Images of the step."""
        return self.images * self.passes

    def __str__(self) -> str:
        images = counted(self.images, "image")
        return images if self.passes == 1 else f"{self.passes} x {images}"


def loads_of(shares: BatchSplit) -> list[Load]:
    """Loads to try, the smallest first: one image, parts of a pass in whole groups, a pass, and the whole share."""
    whole = shares.micro_batch_size
    sizes = [size for size in range(1, whole + 1) if size == 1 or (whole % size == 0 and size % shares.group == 0)]
    return [*map(Load, sizes), *([Load(whole, shares.micro_batches)] if shares.micro_batches > 1 else [])]


@dataclass(frozen=True)
class Known:
    """What one load has shown.

    Attributes:
        load: Its images.
        seconds: What a step of it took.
        fixed: Bytes held whatever the images: the program, weights, moments, averages, gradients.
        peak: Most bytes held.
    """

    load: Load
    seconds: float
    fixed: int
    peak: int

    def memory(self, images: int) -> int:
        """Bytes to expect with passes of so many images: what is fixed, and for each image as much as was seen."""
        return self.fixed + max(self.peak - self.fixed, 0) * images // self.load.images

    def images_within(self, memory: int) -> int:
        """Images of the largest pass to expect within so many bytes."""
        return max(memory - self.fixed, 0) * self.load.images // max(self.peak - self.fixed, 1)

    def step(self, load: Load) -> float:
        """Seconds to expect of a step of another load."""
        return self.seconds * load.total / self.load.total


def next_load(known: Known, loads: Sequence[Load], refused: Sequence[Load], limit: int | None) -> Load | None:
    """The largest load above the known one that is worth trying; None where there is none.

    Args:
        known: The largest load that has run.
        loads: Those there are.
        refused: Those that did not fit into memory.
        limit: Bytes that may be held; None where trying to hold more does no harm.
    """
    for load in sorted(loads, key=lambda load: load.total, reverse=True):
        fits = limit is None or known.memory(load.images) <= limit
        below = all(load.total < other.total for other in refused)
        if load.total > known.load.total and below and fits and known.step(load) <= LONGEST_STEP:
            return load
    return None
