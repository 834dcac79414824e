"""Parsing of frame counts, and the times of frames."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.synthesis.walk.timing import EASINGS, frame_times, parse_frames

counts = st.lists(st.integers(1, 20), min_size=1, max_size=5).filter(lambda frames: sum(frames) > 1)


def test_one_number_is_for_every_segment() -> None:
    assert parse_frames("60", 3) == [60, 60, 60]
    assert parse_frames(" 60, 30,1", 3) == [60, 30, 1]


@settings(max_examples=50)
@given(counts)
def test_a_list_is_read_back(frames: list[int]) -> None:
    assert parse_frames(",".join(map(str, frames)), len(frames)) == frames


@settings(max_examples=50)
@given(st.text(max_size=8), st.integers(1, 3))
def test_any_text_is_read_or_refused(text: str, segments: int) -> None:
    try:
        frames = parse_frames(text, segments)
    except ValueError:
        return
    assert len(frames) == segments
    assert min(frames) >= 1


@pytest.mark.parametrize(
    ("text", "segments", "message"),
    [
        ("0", 1, "'0' is not a number of frames"),
        ("-3", 1, "'-3' is not a number"),
        ("2.5", 1, "'2.5' is not a number"),
        ("60,", 2, "'' is not a number"),
        ("99999999", 1, "from 1 to 9,999,999"),
        ("60,30", 3, "2 numbers for 3 segments"),
        ("60,30", 1, "2 numbers for 1 segment$"),
        ("1", 1, "at least two frames"),
    ],
)
def test_what_is_no_number_of_frames(text: str, segments: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_frames(text, segments)


@settings(max_examples=50)
@given(counts, st.sampled_from(sorted(EASINGS)), st.booleans())
def test_every_frame_has_its_time_and_the_ends_are_hit(frames: list[int], easing: str, closed: bool) -> None:
    times = frame_times(frames, closed=closed, easing=easing)
    assert len(times) == sum(frames)
    assert (times.diff() > 0).all()
    assert times[-1] < len(frames) if closed else times[-1] == len(frames)
    starts = torch.tensor([0, *frames[:-1]]).cumsum(0)
    whole = times[starts] if closed or frames[-1] > 1 else times[starts[:-1]]
    assert torch.equal(whole, torch.arange(len(whole), dtype=torch.float64))


def test_easing_is_slow_near_key_frames_and_even_about_the_middle() -> None:
    steps = {name: frame_times([100], closed=True, easing=name).diff() for name in EASINGS}
    assert steps["none"][0] > 10 * steps["smooth"][0] > 10 * steps["smoother"][0]
    share = torch.linspace(0, 1, 11, dtype=torch.float64)
    for ease in EASINGS.values():
        torch.testing.assert_close(ease(share) + ease(1 - share), torch.ones_like(share))
