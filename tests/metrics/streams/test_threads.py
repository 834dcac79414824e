from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.metrics.streams.threads import in_batches, map_in_order, reblock


def test_results_keep_the_order_of_items_that_finish_out_of_order() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * number

    assert list(map_in_order(range(20), work, workers=4, ahead=6)) == [number * number for number in range(20)]


def test_no_more_is_read_than_may_wait() -> None:
    taken: list[int] = []

    def items() -> object:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_in_order(items(), lambda number: number, workers=2, ahead=5)
    assert next(results) == 0
    assert len(taken) == 6
    results.close()


@pytest.mark.parametrize(("room", "most"), [(10_000, 8), (300, 3), (1, 2)])
def test_as_many_wait_as_fit_into_the_room(room: int, most: int) -> None:
    """Each result has 100 bytes; one for each of two threads may always wait."""
    taken: list[int] = []

    def items() -> object:
        for number in range(40):
            taken.append(number)
            yield number

    results = map_in_order(items(), lambda number: number, workers=2, ahead=8, size=lambda _: 100, room=room)
    waiting = [len(taken) - done for done, _ in enumerate(results, start=1)]
    assert max(waiting) == most
    assert len(taken) == 40


def test_an_error_surfaces_in_its_turn_and_the_threads_end() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = map_in_order(range(50), work, workers=2, ahead=8)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_groups_are_full_but_for_the_last() -> None:
    assert list(in_batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(in_batches(range(6), 3)) == [[0, 1, 2], [3, 4, 5]]
    assert list(in_batches([], 3)) == []


@settings(max_examples=50)
@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 10))
def test_blocks_depend_on_the_rows_only(lengths: list[int], rows: int) -> None:
    features = np.arange(2 * sum(lengths), dtype=np.float32).reshape(-1, 2)
    blocks = list(reblock(np.split(features, np.cumsum(lengths)[:-1]) if lengths else [], rows))
    assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
    assert all(0 < len(block) <= rows for block in blocks)
    np.testing.assert_array_equal(np.concatenate([*blocks, np.empty((0, 2), np.float32)]), features)
