"""Quantities as people write them: image counts, durations, byte sizes, lists of names, seed lists and grid sizes.

Every parser raises `ValueError` with a message that stands alone; callers add where the text came from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_COUNT_SCALE = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_DURATION_SCALE = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
COUNT_PATTERN = r"\s*([0-9][0-9_]{0,30})(?:\.([0-9]{1,15}))?\s*([kKmMbB]?)\s*"
LARGEST_SEED = 2**32 - 1
MOST_SEEDS = 10_000_000


def parse_count(text: str | int) -> int:
    """Read a number of images: 25000000, "25_000_000", "200k", "25M", "1.5M".

    Raises:
        ValueError: not a count, negative, or not a whole number of images.
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


def format_count(count: int) -> str:
    """Write a count as it can be read back, short where at most one decimal is needed.

    25000000 -> "25M", 1500 -> "1.5k", 1234 -> "1234", 2560000 -> "2560k".
    """
    for unit, scale in (("M", 1_000_000), ("k", 1_000)):
        if count >= scale and count * 10 % scale == 0:
            whole, tenth = divmod(count * 10 // scale, 10)
            return f"{whole}.{tenth}{unit}" if tenth else f"{whole}{unit}"
    return str(count)


def parse_duration(text: str) -> float:
    """Read a duration in seconds: "3h50m", "90s", "2d", "45m", "1h 5m 30s".

    Raises:
        ValueError: not a duration, or zero.
    """
    compact = text.replace(" ", "").lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"{text!r} is not a duration; write 3h50m, 90s or 2d")
    seconds = sum(float(number) * _DURATION_SCALE[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError(f"{text!r} is no time at all")
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is longer than can be counted")
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds in the two units that matter: 14 -> "14s", 3725 -> "1h 02m", 200000 -> "2d 07h"."""
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
    """Write a byte size with a binary unit: 1536 -> "1.5 KiB"."""
    unit = 0
    while round(size, 1 if unit else 0) >= 1024 and unit < len(_BYTE_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_BYTE_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_BYTE_UNITS[unit]}"


def format_names(names: Sequence[str], most: int = 3) -> str:
    """Write the first few of many names: ["a", "b", "c", "d"] -> "a, b, c, ..."."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def parse_seeds(text: str) -> list[int]:
    """Read a seed list: "0-31,45" -> [0, 1, ..., 31, 45]; order and repeats are kept as written.

    Raises:
        ValueError: not a seed list, a range that runs backwards, a seed above 2^32 - 1, or over ten million.
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
            raise ValueError(f"seed {last} is above the largest one, {LARGEST_SEED}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"{part.strip()} brings the list over ten million seeds")
        seeds.extend(range(first, last + 1))
    return seeds


def parse_grid(text: str) -> tuple[int, int]:
    """Read a grid size, columns by rows: "8x4" -> (8, 4).

    Raises:
        ValueError: not a grid size, or one with an empty side.
    """
    match = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", text)
    if match is None or not int(match[1]) or not int(match[2]):
        raise ValueError(f"{text!r} is not a grid size; write columns by rows, such as 8x4")
    return int(match[1]), int(match[2])
