"""Paths pass their key frames, close, and follow lines, splines and arcs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from swincli.synthesis.walk.paths import LatentPath, linear_path, slerp, slerp_path, spline_path

KINDS = pytest.mark.parametrize("kind", [linear_path, spline_path, slerp_path])


def keys(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def at(path: LatentPath, *times: float) -> Tensor:
    return path(torch.tensor(times, dtype=torch.float64))


@KINDS
@settings(max_examples=15)
@given(count=st.integers(2, 6), closed=st.booleans(), seed=st.integers(0, 1000))
def test_a_path_is_in_its_key_frames_at_whole_times(kind, count: int, closed: bool, seed: int) -> None:  # type: ignore[no-untyped-def]
    given_keys = keys(count, seed)
    torch.testing.assert_close(at(kind(given_keys, closed=closed), *range(count)), given_keys)


@KINDS
def test_a_closed_path_ends_where_it_began(kind) -> None:  # type: ignore[no-untyped-def]
    given_keys = keys(4)
    path = kind(given_keys, closed=True)
    torch.testing.assert_close(at(path, 4), given_keys[:1])
    near = at(path, 4 - 1e-4)
    assert (near - given_keys[0]).norm() < 0.01


@KINDS
def test_a_path_does_not_jump(kind) -> None:  # type: ignore[no-untyped-def]
    walked = kind(keys(3), closed=True)(torch.linspace(0, 3, 3001, dtype=torch.float64))
    assert walked.diff(dim=0).norm(dim=1).max() < 0.02


@KINDS
def test_codes_of_several_axes_and_places_alone(kind) -> None:  # type: ignore[no-untyped-def]
    path = kind(keys(3), closed=True)
    times = torch.linspace(0, 3, 10, dtype=torch.float64)
    torch.testing.assert_close(torch.cat([path(time[None]) for time in times]), path(times))
    if kind is not slerp_path:
        cubes = keys(12).view(3, 4, 8)
        torch.testing.assert_close(kind(cubes, closed=True)(times)[:, 2], kind(cubes[:, 2], closed=True)(times))


def test_a_spline_has_no_corners_and_is_the_line_between_two() -> None:
    def corner(path: LatentPath, time: float) -> float:
        before, here, after = at(path, time - 1e-3, time, time + 1e-3).double()
        return float(((after - here) - (here - before)).norm() / (after - before).norm())

    given_keys = keys(4).double()
    for time in (1.0, 2.0):
        assert (
            corner(spline_path(given_keys, closed=False), time)
            < 0.01
            < corner(linear_path(given_keys, closed=False), time)
        )
    closed = spline_path(given_keys, closed=True)
    start, end = at(closed, 0, 1e-3), at(closed, 4 - 1e-3, 4)
    torch.testing.assert_close(start.diff(dim=0), end.diff(dim=0), rtol=0.02, atol=1e-5)
    times = (0.0, 0.3, 0.9)
    torch.testing.assert_close(
        at(spline_path(given_keys[:2], closed=False), *times), at(linear_path(given_keys[:2], closed=False), *times)
    )


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1, allow_subnormal=False))
def test_slerp_keeps_the_length_and_divides_the_angle(seed: int, share: float) -> None:
    start, end = (vector / vector.norm(dim=1) * 3 for vector in keys(2, seed).double().split(1))
    between = slerp(start, end, torch.tensor([[share]]))
    assert between.norm().item() == pytest.approx(3)
    whole, part = (torch.acos(((start * other).sum() / 9).clamp(-1, 1)).item() for other in (end, between))
    assert part == pytest.approx(share * whole, abs=1e-5)


def test_slerp_grows_evenly_and_joins_what_has_no_arc_by_a_line() -> None:
    start, half = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5]])
    torch.testing.assert_close(slerp(start, torch.tensor([[0.0, 3.0]]), half), torch.full((1, 2), 2 / 2**0.5))
    torch.testing.assert_close(slerp(start, 3 * start, half), 2 * start)
    torch.testing.assert_close(slerp(start, -start, half), torch.zeros(1, 2))
    assert torch.equal(slerp(start, start, half), start)
