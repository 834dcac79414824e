"""The next free name for output without a name of its own: samples, samples-2, samples-3, ..."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path


def numbered(path: Path) -> Iterator[Path]:
    """The path, then NAME-2, NAME-3 and so on beside it, before the suffix."""
    yield path
    yield from (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
