from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.data.loader_order import training_indices

sizes = st.integers(1, 60)
seeds = st.integers(0, 2**32 - 1)
EXPECTED = [8, 4, 3, 6, 2, 1, 0, 5, 11, 9, 10, 7, 7, 9, 10, 11, 6, 1, 4, 8, 3, 2, 5, 0]


@settings(max_examples=50)
@given(num=sizes, seed=seeds, epoch=st.integers(0, 10**12))
def test_every_epoch_is_a_permutation(num: int, seed: int, epoch: int) -> None:
    assert sorted(training_indices(num, seed, epoch * num, num)) == list(range(num))


@settings(max_examples=50)
@given(num=sizes, seed=seeds, start=st.integers(0, 10**9), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_any_split_gives_the_same_sequence(num: int, seed: int, start: int, cuts: list[int]) -> None:
    whole = training_indices(num, seed, start, sum(cuts))
    parts, position = [np.empty(0, np.int64)], start
    for count in cuts:
        parts.append(training_indices(num, seed, position, count))
        position += count
    assert np.array_equal(np.concatenate(parts), whole)


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(training_indices(50, seed, epoch * 50, 50)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_every_image_comes_up_everywhere() -> None:
    firsts = [int(training_indices(8, 3, epoch * 8, 1)[0]) for epoch in range(400)]
    assert min(np.bincount(firsts, minlength=8)) > 25


def test_the_order_is_fixed_for_good() -> None:
    order = training_indices(12, 7, 0, 24)
    assert order.dtype == np.int64
    assert order.tolist() == EXPECTED


def test_the_result_is_the_callers_own() -> None:
    training_indices(10, 1, 0, 10)[:] = 0
    assert sorted(training_indices(10, 1, 0, 10)) == list(range(10))


@pytest.mark.parametrize("arguments", [(0, 0, 0, 1), (5, -1, 0, 1), (5, 0, -1, 1), (5, 0, 0, -1)])
def test_what_makes_no_sense_is_refused(arguments: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no order of"):
        training_indices(*arguments)
