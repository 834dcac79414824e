from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swincli.data.preparing.stats import ChannelStats
from swincli.data.preparing.survey import EXAMPLES, SourceRecord, Survey


def photo(number: int, **more: object) -> SourceRecord:
    known = {"width": 640, "height": 480, "mode": "RGB", "kind": "JPEG", "place": number}
    return SourceRecord(f"{number:06d}.jpg", **{**known, **more})  # type: ignore[arg-type]


def test_everything_is_counted() -> None:
    survey = Survey()
    survey.add(photo(0, label="cat"))
    survey.add(photo(1, label="cat", upscaled=True, width=30, height=40, kind="PNG", mode="L"))
    survey.add(photo(2, label="dog", part="test"))
    survey.add(SourceRecord("a.txt", reason="not an image (PNG, ...)"))
    survey.add(photo(3, reason="duplicate of 000000.jpg", same_as="000000.jpg", place=None, label="cat"))
    survey.add(SourceRecord("b.jpg", reason="damaged: cut"))
    survey.add(SourceRecord("c.jpg", reason="damaged: cut short"))
    assert (survey.files, survey.kept, survey.upscaled) == (7, 3, 1)
    assert {kind: [record.name for record in group] for kind, group in survey.by_reason().items()} == {
        "damaged": ["b.jpg", "c.jpg"],
        "not an image": ["a.txt"],
        "duplicate": ["000003.jpg"],
    }
    assert next(iter(survey.by_reason())) == "damaged"
    assert [record.name for record in survey.duplicates] == ["000003.jpg"]
    facts = survey.as_json()
    assert facts["kinds"] == {"JPEG": 3, "PNG": 1}
    assert facts["modes"] == {"RGB": 3, "L": 1}
    assert facts["labels"] == {"cat": 2, "dog": 1}
    assert facts["sizes"] == [[640, 480, 3], [30, 40, 1]]
    assert survey.parts == {"test": 1}


def test_shorter_sides_have_no_gaps() -> None:
    survey = Survey()
    for side in (256, 511, 512, 40):
        survey.add(photo(side, width=side, height=900))
    assert survey.shorter_sides() == [
        ("32 to 63 px", 1), ("64 to 127 px", 0), ("128 to 255 px", 0), ("256 to 511 px", 2), ("512 to 1,023 px", 1),
    ]  # fmt: skip
    assert Survey().shorter_sides() == []
    survey.add(photo(9, width=1, height=900))
    assert survey.shorter_sides()[0] == ("1 px", 1)


@settings(max_examples=25)
@given(count=st.integers(0, 700))
@example(EXAMPLES)
@example(EXAMPLES + 1)
@example(2 * EXAMPLES)
@example(7 * EXAMPLES)
def test_examples_are_spread_evenly(count: int) -> None:
    survey = Survey()
    for number in range(count):
        survey.add(photo(number))
    places = [int(name[:6]) for name in survey.examples]
    assert len(places) == len(set(places)) == min(count, EXAMPLES)
    if count <= EXAMPLES:
        assert places == list(range(count))
    else:
        steps = np.diff([*places, count])
        assert places[0] == 0
        assert steps.min() >= 1
        assert steps.max() <= 4 * count / EXAMPLES


def test_memory_does_not_grow_with_what_is_kept() -> None:
    def held(count: int) -> int:
        tracemalloc.start()
        survey = Survey()
        for number in range(count):
            survey.add(photo(number, width=640 + number % 100, label="cat"))
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert survey.kept == count
        return size

    assert held(6000) < held(1000) + 20_000


@settings(max_examples=40)
@given(images=st.integers(1, 5), side=st.integers(1, 6), seed=st.integers(0, 99))
def test_mean_and_deviation_are_numpys(images: int, side: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (images, side, side, 3), np.uint8)
    channels = ChannelStats()
    for image in pixels:
        channels.add(image)
    values = pixels.reshape(-1, 3) / 255
    assert channels.mean == pytest.approx(values.mean(0))
    assert channels.std == pytest.approx(values.std(0))
    together = ChannelStats()
    together.add(pixels)
    assert (together.mean, together.std) == (channels.mean, channels.std)
