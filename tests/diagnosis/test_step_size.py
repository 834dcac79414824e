"""Sizes of the profiled steps, and predictions for larger ones."""

from __future__ import annotations

from swincli.diagnosis.step_size import LONGEST_STEP, SizeMeasurement, StepSize, candidate_sizes, next_size
from swincli.training.step.batch_shards import BatchSplit

GIB = 2**30


def test_sizes_grow_by_whole_groups_to_the_whole_batch() -> None:
    assert candidate_sizes(BatchSplit(32, group=4)) == [
        StepSize(1),
        StepSize(4),
        StepSize(8),
        StepSize(16),
        StepSize(32),
    ]
    assert candidate_sizes(BatchSplit(32, group=4, micro_batches=4)) == [
        StepSize(1),
        StepSize(4),
        StepSize(8),
        StepSize(8, 4),
    ]
    assert candidate_sizes(BatchSplit(6, group=3)) == [StepSize(1), StepSize(3), StepSize(6)]
    assert candidate_sizes(BatchSplit(1)) == [StepSize(1)]


def test_sizes_as_text() -> None:
    assert [str(size) for size in (StepSize(1), StepSize(4), StepSize(4, 2))] == ["1 image", "4 images", "2 x 4 images"]


def measured(seconds: float, images: int = 1) -> SizeMeasurement:
    """1 GiB for any number of images, and 0.5 GiB per image."""
    return SizeMeasurement(StepSize(images), seconds, GIB, GIB + images * GIB // 2)


def test_memory_and_time_grow_with_the_images() -> None:
    assert measured(2.0).predict_memory(8) == 5 * GIB
    assert measured(2.0, images=4).predict_memory(8) == 5 * GIB
    assert measured(2.0).largest_micro_batch(5 * GIB) == 8
    assert measured(2.0).largest_micro_batch(GIB // 2) == 0
    assert measured(2.0).predict_seconds(StepSize(4, 2)) == 16.0


def test_the_next_size_is_the_largest_that_is_quick_and_fits() -> None:
    sizes = candidate_sizes(BatchSplit(32, group=4))
    assert next_size(measured(0.01), sizes, [], None) == StepSize(32)
    assert next_size(measured(LONGEST_STEP / 8), sizes, [], None) == StepSize(8)
    assert next_size(measured(LONGEST_STEP), sizes, [], None) is None
    assert next_size(measured(0.01), sizes, [], 4 * GIB) == StepSize(4)
    assert next_size(measured(0.01), sizes, [StepSize(32), StepSize(16)], None) == StepSize(8)
    assert next_size(measured(0.01, images=32), sizes, [], None) is None
