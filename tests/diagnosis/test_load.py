"""How large the measured steps are, and what is expected of larger ones."""

from __future__ import annotations

from swincli.diagnosis.load import LONGEST_STEP, Known, Load, loads_of, next_load
from swincli.training.step.batch_shards import BatchSplit

GIB = 2**30


def test_loads_grow_by_whole_groups_to_the_whole_batch() -> None:
    assert loads_of(BatchSplit(32, group=4)) == [Load(1), Load(4), Load(8), Load(16), Load(32)]
    assert loads_of(BatchSplit(32, group=4, micro_batches=4)) == [Load(1), Load(4), Load(8), Load(8, 4)]
    assert loads_of(BatchSplit(6, group=3)) == [Load(1), Load(3), Load(6)]
    assert loads_of(BatchSplit(1)) == [Load(1)]


def test_loads_in_words() -> None:
    assert [str(load) for load in (Load(1), Load(4), Load(4, 2))] == ["1 image", "4 images", "2 x 4 images"]


def known(seconds: float, images: int = 1) -> Known:
    """A GiB whatever the images, and half of one an image."""
    return Known(Load(images), seconds, GIB, GIB + images * GIB // 2)


def test_memory_and_time_grow_with_the_images() -> None:
    assert known(2.0).memory(8) == 5 * GIB
    assert known(2.0, images=4).memory(8) == 5 * GIB
    assert known(2.0).images_within(5 * GIB) == 8
    assert known(2.0).images_within(GIB // 2) == 0
    assert known(2.0).step(Load(4, 2)) == 16.0


def test_the_next_load_is_the_largest_that_is_quick_and_fits() -> None:
    loads = loads_of(BatchSplit(32, group=4))
    assert next_load(known(0.01), loads, [], None) == Load(32)
    assert next_load(known(LONGEST_STEP / 8), loads, [], None) == Load(8)
    assert next_load(known(LONGEST_STEP), loads, [], None) is None
    assert next_load(known(0.01), loads, [], 4 * GIB) == Load(4)
    assert next_load(known(0.01), loads, [Load(32), Load(16)], None) == Load(8)
    assert next_load(known(0.01, images=32), loads, [], None) is None
