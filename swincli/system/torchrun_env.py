"""Environment variables that torchrun sets for each process it starts; readable before PyTorch is imported."""

from __future__ import annotations

import os


def world_size() -> int:
    """Number of processes that share the task; 1 without torchrun."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """Number of this process among all of them, from 0."""
    return _number("RANK", 0) if is_distributed() else 0


def local_rank() -> int:
    """Number of this process among those on its machine, from 0."""
    return _number("LOCAL_RANK", 0) if is_distributed() else 0


def is_distributed() -> bool:
    """Whether torchrun has started several processes."""
    return world_size() > 1


def is_under_torchrun() -> bool:
    """Whether torchrun started this process, alone or with others."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_secondary() -> bool:
    """Whether this process is not the main process (rank 0), which alone writes files and prints."""
    return rank() > 0


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


def restart_count() -> str:
    """How often torchrun has started these processes again, as text; "0" for the first attempt."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
