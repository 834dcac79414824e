"""Reading logs of one JSON object per line, in which any line may be damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JsonLine:
    """A line of a log.

    Attributes:
        content: Its bytes, without the line feed.
        record: Its object; None if it is damaged.
        is_cut: Whether it is the last one and has no line feed, as after a kill.
    """

    content: bytes
    record: dict[str, Any] | None
    is_cut: bool


def read_json_lines(path: Path) -> Iterator[JsonLine]:
    """Yield the lines of a log that are not empty; none if there is no file."""
    if not path.is_file():
        return
    *lines, rest = path.read_bytes().split(b"\n")
    for content, is_cut in [*((line, False) for line in lines), (rest, True)]:
        if content.strip():
            yield JsonLine(content, _parse(content), is_cut)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a log; damaged lines are skipped."""
    for line in read_json_lines(path):
        if line.record is not None:
            yield line.record


def read_last_records(path: Path, size: int = 2**17) -> list[dict[str, Any]]:
    """The objects in the last `size` bytes of a log, oldest first; damaged lines are skipped, none without a file."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - size)
            file.seek(start)
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    parsed = (_parse(line) for line in (lines[1:] if start else lines))
    return [record for record in parsed if record is not None]


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
