"""Charts as SVG."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swincli.publishing.charts import MOST_POINTS, Chart, Series, bulk, nice_ticks, short, smoothed, thinned

VALUES = st.floats(-1e9, 1e9, allow_subnormal=False)


@given(VALUES, VALUES)
@example(0.0, 4.540565041657964e-308)  # a fifth of it is 0 where the processor drops numbers so small
@example(2.3e-308, 2.5e-308)
@example(1e-306, 1e-306)
def test_ticks_are_few_and_inside(one: float, other: float) -> None:
    low, high = sorted((one, other))
    ticks = nice_ticks(low, high)
    assert 1 <= len(ticks) <= 7
    if high > low:
        slack = 1e-6 * max(abs(low), abs(high), high - low)
        assert all(low - slack <= tick <= high + slack for tick in ticks)


@given(st.lists(st.tuples(st.integers(0, 10**8), VALUES), min_size=1, max_size=30), st.booleans(), st.booleans())
@example([(0, 2.3e-308), (1, 2.5e-308)], False, False)
def test_any_finite_points_make_a_drawing(points: list[tuple[int, float]], marked: bool, zero: bool) -> None:
    line = Series("a <b> & c", sorted(points), [(points[0][0], -1.0, 1.0)] if marked else (), marked=marked)
    drawing = ElementTree.fromstring(str(Chart("t < u", [line, line], zero=zero).svg()))
    assert "nan" not in ElementTree.tostring(drawing, "unicode").lower()
    assert drawing.find("title").text == "t < u"  # type: ignore[union-attr]
    assert "a <b> & c from" in drawing.attrib["aria-label"]


def test_long_lines_are_thinned_smoothed_and_freed_of_outliers() -> None:
    points = [(float(number), math.sin(number / 50) + (1e6 if number == 777 else 0)) for number in range(5000)]
    assert max(value for _, value in bulk(points)) <= 1
    few = thinned(points)
    assert len(few) == MOST_POINTS
    assert sum(value for _, value in few) == pytest.approx(
        sum(value for _, value in points) / 5000 * len(few), rel=0.05
    )
    assert len(smoothed(few)) == len(few)


@pytest.mark.parametrize(("value", "text"), [(12000, "12k"), (2.5e6, "2.5M"), (0.25, "0.25"), (-1500, "-1.5k")])
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text
