"""Line charts as inline SVG: sharp at every size, in the page's colours, with a title and text for screen readers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

Point = tuple[float, float]

WIDTH, HEIGHT = 480, 230  # of the drawing in its own units; the page scales it
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 8, 36
MOST_POINTS = 240  # of a drawn line
_SMOOTHED_FROM = 40  # points from which a line is smoothed
_SPAN = 0.03  # of a line: as many points are in the running mean
_TICKS = 5
_LEAST_RANGE = 1e-300  # parts of smaller ones may be 0 to the processor
_COLOURS = 4  # classes s1 to s4 of the page's style


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: For the legend.
        points: (x, y) in order of x; y finite.
        intervals: x, lower and upper end, where there is an interval.
        marked: Whether every point is drawn and named: for few measured values, which are not smoothed either.
    """

    name: str
    points: Sequence[Point]
    intervals: Sequence[tuple[float, float, float]] = ()
    marked: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: What it shows.
        series: At least one line with at least one point.
        x_label: Of the axis, such as "images seen".
        note: What a reader should know; empty for none.
        zero: Whether the vertical axis includes 0.
    """

    title: str
    series: Sequence[Series]
    x_label: str = "images seen"
    note: str = ""
    zero: bool = False

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Class of the colour, and name, of every line; empty for a single one."""
        return [(_colour(number), line.name) for number, line in enumerate(self.series)] if len(self.series) > 1 else []

    def svg(self) -> Markup:
        """The drawing."""
        scale = _Scale.of(self)
        parts = [_axes(scale, self.x_label)]
        for number, line in enumerate(self.series):
            parts.append(_line(line, scale, _colour(number)))
        return Markup(
            '<svg class="chart" role="img" viewBox="0 0 {w} {h}" aria-label="{told}">'
            "<title>{title}</title>{drawing}</svg>"
        ).format(w=WIDTH, h=HEIGHT, told=self._told(), title=self.title, drawing=Markup("").join(parts))

    def _told(self) -> str:
        """The chart in a sentence."""
        ends = [f"{line.name} from {short(line.points[0][1])} to {short(line.points[-1][1])}" for line in self.series]
        x = [point[0] for line in self.series for point in line.points]
        return f"{self.title}: {'; '.join(ends)}, over {self.x_label} {short(min(x))} to {short(max(x))}"


@dataclass(frozen=True)
class _Scale:
    """From values to places in the drawing."""

    x_ticks: list[float]
    y_ticks: list[float]
    x_range: Point
    y_range: Point

    @classmethod
    def of(cls, chart: Chart) -> _Scale:
        x = [point[0] for line in chart.series for point in line.points]
        y = [point[1] for line in chart.series for point in (line.points if line.marked else bulk(line.points))]
        y += [value for line in chart.series for _, *ends in line.intervals for value in ends]
        y += [0.0] if chart.zero else []
        y_ticks = nice_ticks(min(y), max(y))
        low, high = min(x), max(x)
        x_range = (low, high) if high > low else (low - 0.5, high + 0.5)
        low, high = min(*y, y_ticks[0]), max(*y, y_ticks[-1])
        return cls(nice_ticks(*x_range), y_ticks, x_range, (low, high if high - low >= _LEAST_RANGE else low + 1.0))

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        share = min(max((value - low) / (high - low), -0.02), 1.02)  # outliers end at the edge
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def nice_ticks(low: float, high: float, most: int = _TICKS) -> list[float]:
    """Round numbers that span a range, at most `most` + 1 of them; one if the range is next to nothing."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    if high - low < _LEAST_RANGE:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)] or [low]


def short(value: float) -> str:
    """A number for an axis: 12000 -> "12k", 0.25 -> "0.25"."""
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale:
            return f"{value / scale:.3g}{unit}"
    return f"{value:.3g}"


def bulk(points: Sequence[Point]) -> Sequence[Point]:
    """The points without the most extreme 1 % of the values on either side, which would flatten all others."""
    if len(points) < 100:
        return points
    values = sorted(value for _, value in points)
    low, high = values[len(values) // 100], values[-1 - len(values) // 100]
    return [point for point in points if low <= point[1] <= high]


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points: means of neighbouring ones."""
    if len(points) <= most:
        return list(points)
    edges = [round(number * len(points) / most) for number in range(most + 1)]
    groups = [points[start:end] for start, end in pairwise(edges)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def smoothed(points: Sequence[Point]) -> list[Point]:
    """A centred running mean over `_SPAN` of the points on either side."""
    reach = max(1, round(_SPAN * len(points)))
    out = []
    for place, (x, _) in enumerate(points):
        near = points[max(0, place - reach) : place + reach + 1]
        out.append((x, sum(value for _, value in near) / len(near)))
    return out


def _axes(scale: _Scale, x_label: str) -> Markup:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = []
    for value in scale.y_ticks:
        y = scale.y(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for value in scale.x_ticks:
        x = scale.x(value)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{short(value)}</text>')
    parts.append(f'<text class="tick" x="{right}" y="{HEIGHT - 5}" text-anchor="end">{escape(x_label)}</text>')
    return Markup("".join(parts))


def _line(line: Series, scale: _Scale, colour: str) -> Markup:
    points = thinned(line.points)
    parts = []
    if not line.marked and len(points) >= _SMOOTHED_FROM:
        parts.append(f'<path class="line faint {colour}" d="{_path(points, scale)}"/>')
        points = smoothed(points)
    parts.append(f'<path class="line {colour}" d="{_path(points, scale)}"/>')
    for x, low, high in line.intervals:
        parts.append(f'<path class="bar {colour}" d="M{scale.x(x):.1f} {scale.y(low):.1f}V{scale.y(high):.1f}"/>')
    if line.marked or len(points) == 1:
        for x, y in line.points:
            told = escape(f"{line.name} {y:.4g} at {x:,.0f}")
            parts.append(
                f'<circle class="dot {colour}" cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3"><title>{told}</title>'
                "</circle>"
            )
    return Markup("".join(parts))


def _path(points: Sequence[Point], scale: _Scale) -> str:
    return "M" + "L".join(f"{scale.x(x):.1f} {scale.y(y):.1f}" for x, y in points)


def _colour(number: int) -> str:
    return f"s{number % _COLOURS + 1}"
