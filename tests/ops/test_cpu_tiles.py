"""Maps in parts: every position once, and what is read is where it is written."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swincli.ops import cpu_tiles
from swincli.ops.windows import Windows, from_windows, to_windows

maps = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))


@given(shape=maps, multiple=st.sampled_from([1, 2, 4]), channels=st.integers(1, 2**20), shift=st.integers(0, 3))
def test_every_position_is_in_one_part(shape: tuple[int, ...], multiple: int, channels: int, shift: int) -> None:
    images, height, width, depth = shape
    x = torch.randn(images, height * multiple, width * multiple, depth)
    copy, seen = torch.zeros_like(x), torch.zeros(x.shape[:3])
    for part in cpu_tiles.parts(x, channels, multiple):
        values = part.of(x, shift % multiple)
        assert values.shape[1] % multiple == 0
        part.put(copy, values, shift % multiple)
        part.put(seen, part.of(seen, 0) + 1, 0)
    assert torch.equal(copy, x)
    assert torch.equal(seen, torch.ones_like(seen))


@given(shape=maps, channels=st.sampled_from([2**12, 2**16, 2**20]))
def test_a_part_is_no_larger_than_it_should_be(shape: tuple[int, ...], channels: int) -> None:
    x = torch.empty(shape)
    for part in cpu_tiles.parts(x, channels):
        positions = part.of(x)[..., 0].numel()
        row = x.shape[2]
        assert positions * channels * 4 <= cpu_tiles.PART_BYTES or positions == row


@pytest.mark.parametrize("shift", [0, 2])
def test_reading_some_rows_gives_the_windows_of_the_whole_map(shift: int) -> None:
    windows, x = Windows(4, shift), torch.randn(2, 12, 16, 3, 5)
    (whole,) = windows.cut(x[:, :, :, None])
    for part in cpu_tiles.parts(x, 2**14, multiple=4):
        rows = slice(part.rows.start // 4, part.rows.stop // 4)
        assert torch.equal(windows.read(part.of(x, shift)), whole[part.images, rows])


@given(shift=st.sampled_from([0, 1, 2, 3]), rows=st.integers(1, 3), columns=st.integers(2, 4))
def test_writing_undoes_reading(shift: int, rows: int, columns: int) -> None:
    windows, x = Windows(4, shift), torch.randn(2, 4 * rows, 4 * columns, 2, 3)
    out = torch.zeros_like(x)
    windows.write(windows.read(x), out)
    assert torch.equal(out, x)


def test_joining_undoes_cutting() -> None:
    x = torch.randn(2, 8, 12, 3, 2, 5)
    for shift in (0, 2):
        for index, cut in enumerate(Windows(4, shift).cut(x)):
            assert torch.equal(Windows(4, shift).join(cut), x[:, :, :, index])
    assert torch.equal(from_windows(to_windows(x, 4)[1], 4), x[:, :, :, 1])


def test_only_exact_numbers_on_the_cpu_are_worked_on_in_parts() -> None:
    x = torch.zeros(1)
    assert cpu_tiles.is_due(x)
    assert not cpu_tiles.is_due(x.bfloat16())
    assert not cpu_tiles.is_due(x.to("meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not cpu_tiles.is_due(x)
