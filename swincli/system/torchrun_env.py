"""What torchrun tells a process that it starts, through the environment; known before anything else is."""

from __future__ import annotations

import os


def world_size() -> int:
    """How many processes share the task; 1 where torchrun has started none."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """The number of this process among them."""
    return _number("RANK", 0) if is_distributed() else 0


def local_rank() -> int:
    """The number of this process among those on its machine."""
    return _number("LOCAL_RANK", 0) if is_distributed() else 0


def is_distributed() -> bool:
    """Whether this process is one of several."""
    return world_size() > 1


def is_secondary() -> bool:
    """Whether another process leads this one: writes the files, and speaks."""
    return rank() > 0


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
