"""Numbers and times as a report says them."""

from __future__ import annotations

from swincli.units import format_duration


def counted(number: int, noun: str) -> str:
    """A number of things: (1, "image") -> "1 image", (1500, "image") -> "1,500 images"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short(count: int) -> str:
    """A large number in three digits: 95608077312 -> "95.6 G"."""
    for unit, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if count >= scale:
            return f"{count / scale:#.3g}".rstrip(".") + f" {unit}"
    return f"{count:,}"


def brief(seconds: float) -> str:
    """A time in three digits: 0.01234 -> "12.3 ms", 81.23 -> "81.2 s", 1234 -> "20m 34s"."""
    if seconds < 1:
        return f"{1000 * seconds:#.3g}".rstrip(".") + " ms"
    return f"{seconds:#.3g}".rstrip(".") + " s" if seconds < 100 else format_duration(seconds)


def share(part: float, whole: float) -> str:
    """A part in percent: (1, 3) -> "33%", (1, 1000) -> "<1%"."""
    percent = 100 * part / whole
    return "<1%" if 0 < percent < 0.5 else f"{percent:.0f}%"
