"""Tiles and windows: they cover every position once, and reading and writing use the same positions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swincli.ops import cpu_tiles
from swincli.ops.windows import WindowGrid

maps = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))


@given(shape=maps, multiple=st.sampled_from([1, 2, 4]), channels=st.integers(1, 2**20), shift=st.integers(0, 3))
def test_every_position_is_in_one_tile(shape: tuple[int, ...], multiple: int, channels: int, shift: int) -> None:
    images, height, width, depth = shape
    x = torch.randn(images, height * multiple, width * multiple, depth)
    copy, seen = torch.zeros_like(x), torch.zeros(x.shape[:3])
    for tile in cpu_tiles.tiles(x, channels, multiple):
        values = tile.read(x, shift % multiple)
        assert values.shape[1] % multiple == 0
        tile.write(copy, values, shift % multiple)
        tile.write(seen, tile.read(seen, 0) + 1, 0)
    assert torch.equal(copy, x)
    assert torch.equal(seen, torch.ones_like(seen))


@given(shape=maps, channels=st.sampled_from([2**12, 2**16, 2**20]))
def test_a_tile_is_no_larger_than_it_should_be(shape: tuple[int, ...], channels: int) -> None:
    x = torch.empty(shape)
    for tile in cpu_tiles.tiles(x, channels):
        positions = tile.read(x)[..., 0].numel()
        row = x.shape[2]
        assert positions * channels * 4 <= cpu_tiles.TILE_BYTES or positions == row


@pytest.mark.parametrize("shift", [0, 2])
def test_reading_some_rows_gives_the_windows_of_the_whole_map(shift: int) -> None:
    grid, x = WindowGrid(4, shift), torch.randn(2, 12, 16, 3, 5)
    (whole,) = grid.partition(x[:, :, :, None])
    for tile in cpu_tiles.tiles(x, 2**14, multiple=4):
        rows = slice(tile.rows.start // 4, tile.rows.stop // 4)
        assert torch.equal(grid.gather_rows(tile.read(x, shift)), whole[tile.images, rows])


@given(shift=st.sampled_from([0, 1, 2, 3]), rows=st.integers(1, 3), columns=st.integers(2, 4))
def test_writing_undoes_reading(shift: int, rows: int, columns: int) -> None:
    grid, x = WindowGrid(4, shift), torch.randn(2, 4 * rows, 4 * columns, 2, 3)
    out = torch.zeros_like(x)
    grid.scatter_rows(grid.gather_rows(x), out)
    assert torch.equal(out, x)


def test_reverse_undoes_partition() -> None:
    x = torch.randn(2, 8, 12, 3, 2, 5)
    for shift in (0, 2):
        for index, windows in enumerate(WindowGrid(4, shift).partition(x)):
            assert torch.equal(WindowGrid(4, shift).reverse(windows), x[:, :, :, index])


def test_tiles_are_for_float32_and_float64_on_the_cpu() -> None:
    x = torch.zeros(1)
    assert cpu_tiles.use_tiles(x)
    assert not cpu_tiles.use_tiles(x.bfloat16())
    assert not cpu_tiles.use_tiles(x.to("meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not cpu_tiles.use_tiles(x)


def test_a_cpu_acts_as_a_gpu_inside_the_switch_alone() -> None:
    x = torch.zeros(1)
    with cpu_tiles.as_on_a_gpu():
        assert cpu_tiles.on_gpu_path(x)
        assert not cpu_tiles.use_tiles(x)
    assert cpu_tiles.use_tiles(x)
    assert not cpu_tiles.on_gpu_path(x)
    assert cpu_tiles.on_gpu_path(x.to("meta"))
