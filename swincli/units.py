"""Parse and format quantities: image counts, durations, sizes, percentages, seed lists, grids, name lists; JSON.

Every parser raises `ValueError` with a complete message; callers add the file or option that the text came from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

_COUNT_SCALE = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_DURATION_SCALE = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)
COUNT_PATTERN = r"\s*([0-9][0-9_]{0,30})(?:\.([0-9]{1,15}))?\s*([kKmMbB]?)\s*"
LARGEST_SEED = 2**32 - 1
MOST_SEEDS = 10_000_000


def parse_count(text: str | int) -> int:
    """Parse a number of images: 25000000, "25_000_000", "200k", "25M", "1.5M".

    Raises:
        ValueError: the text is not a count, is negative, or is not a whole number of images.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError(f'{text!r} is not a number of images; write 25000 or "25k"')
    if isinstance(text, int):
        if text < 0:
            raise ValueError(f"{text} is negative")
        return text
    match = re.fullmatch(COUNT_PATTERN, text)
    if match is None:
        raise ValueError(f'{text!r} is not a number of images; write 25000, "25k" or "2.5M"')
    whole, fraction, unit = match[1].replace("_", ""), match[2] or "", match[3].lower()
    scaled, decimals = int(whole + fraction) * _COUNT_SCALE[unit], int(10 ** len(fraction))
    if scaled % decimals:
        raise ValueError(f"{text!r} is not a whole number of images")
    return scaled // decimals


def parse_number(text: str) -> float:
    """Parse a cell of a table: "-2.5", "+5", ".5", "1e-3"; not what Python alone takes for a number, such as "1_00".

    Raises:
        ValueError: the text is no number, or one that is not finite.
    """
    value = float(text) if _NUMBER.fullmatch(text.strip()) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value


def with_decimal_point(text: str) -> str:
    """A number with a decimal comma, such as "20,5", with a point; any other text as it is."""
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text.strip()) else text


def format_count(count: int) -> str:
    """Format a count so that `parse_count` reads it back; short if one decimal is enough.

    25000000 -> "25M", 1500 -> "1.5k", 1234 -> "1234", 2560000 -> "2560k".
    """
    for unit, scale in (("M", 1_000_000), ("k", 1_000)):
        if count >= scale and count * 10 % scale == 0:
            whole, tenth = divmod(count * 10 // scale, 10)
            return f"{whole}.{tenth}{unit}" if tenth else f"{whole}{unit}"
    return str(count)


def parse_duration(text: str) -> float:
    """Parse a duration into seconds: "3h50m", "90s", "2d", "45m", "1h 5m 30s".

    Raises:
        ValueError: the text is not a duration, or is zero.
    """
    compact = text.replace(" ", "").lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"{text!r} is not a duration; write 3h50m, 90s or 2d")
    seconds = sum(float(number) * _DURATION_SCALE[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError(f"{text!r} is zero; a duration must be above 0")
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is too long")
    return seconds


def format_duration(seconds: float) -> str:
    """Format seconds in the two largest units: 14 -> "14s", 3725 -> "1h 02m", 200000 -> "2d 07h"."""
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {secs:02d}s" if minutes else f"{secs}s"


def format_bytes(size: float) -> str:
    """Format a byte size with a binary unit: 1536 -> "1.5 KiB"."""
    unit = 0
    while round(size, 1 if unit else 0) >= 1024 and unit < len(_BYTE_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_BYTE_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_BYTE_UNITS[unit]}"


def format_names(names: Sequence[str], most: int = 3) -> str:
    """Format the first `most` names: ["a", "b", "c", "d"] -> "a, b, c, ..."."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def format_lines(lines: Iterable[str]) -> str:
    """Format a list with one item per line, each indented by two spaces."""
    return "\n".join(f"  {line}" for line in lines)


def format_items(number: int, noun: str) -> str:
    """Format a number of things: (1, "image") -> "1 image", (1500, "image") -> "1,500 images"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def format_json(data: Any, indent: int | None = None) -> str:
    """Format data as JSON. JSON has no infinity and no NaN: both become null."""
    return json.dumps(_finite(data), indent=indent, allow_nan=False)


def number_from_json(value: float | None) -> float:
    """A number that `format_json` wrote: NaN if it is null."""
    return math.nan if value is None else float(value)


def _finite(value: Any) -> Any:
    """`value` with every infinite or NaN number replaced by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def format_metric(number: int) -> str:
    """Format a large number with three digits and a metric prefix: 95608077312 -> "95.6 G"."""
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if number >= scale:
            return f"{number / scale:#.3g}".rstrip(".") + f" {prefix}"
    return f"{number:,}"


def format_seconds(seconds: float) -> str:
    """Format a time with three digits: 0.01234 -> "12.3 ms", 81.23 -> "81.2 s", 1234 -> "20m 34s"."""
    if seconds < 1:
        return f"{1000 * seconds:#.3g}".rstrip(".") + " ms"
    return f"{seconds:#.3g}".rstrip(".") + " s" if seconds < 100 else format_duration(seconds)


def format_percent(part: float, whole: float) -> str:
    """Format `part / whole` in percent: (1, 3) -> "33%", (1, 1000) -> "<1%"."""
    percent = 100 * part / whole
    return "<1%" if 0 < percent < 0.5 else f"{percent:.0f}%"


def parse_seeds(text: str) -> list[int]:
    """Parse a seed list: "0-31,45" -> [0, 1, ..., 31, 45]. Order and repeats are kept.

    Raises:
        ValueError: the text is not a seed list, a range runs backwards, a seed is above 2^32 - 1, or the list has more
            than ten million seeds.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None:
            raise ValueError(f"{part.strip()!r} is not a seed or a range of seeds; write 0-31,45")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range {part.strip()} runs backwards; write {last}-{first}")
        if last > LARGEST_SEED:
            raise ValueError(f"seed {last} is above the largest seed, {LARGEST_SEED}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"with {part.strip()} the list has more than ten million seeds")
        seeds.extend(range(first, last + 1))
    return seeds


def parse_grid(text: str) -> tuple[int, int]:
    """Parse a grid size, columns x rows: "8x4" -> (8, 4).

    Raises:
        ValueError: the text is not a grid size, or a side is 0.
    """
    match = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", text)
    if match is None or not int(match[1]) or not int(match[2]):
        raise ValueError(f"{text!r} is not a grid size; write columns by rows, such as 8x4")
    return int(match[1]), int(match[2])
