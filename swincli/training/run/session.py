"""The session that works in a run folder, as its lock shows it to other processes and machines. Imports no torch."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swincli.training.run.lock import process_lives, read_lock

_TRIES = 3  # a lock is empty for a moment while it changes hands


@dataclass(frozen=True)
class Session:
    """A `swincli train` that has the lock of a run folder.

    Attributes:
        host: Name of its machine.
        pid: Number of its main process there.
        since: Start of the session, as text with the time zone.
        started: Start of the process by its own clock, which tells apart processes of one number.
        is_alive: Whether the process is alive; None if it is on another machine, where nobody here can look.
        seen: Time of its last sign of life, by the clock of the disk.
    """

    host: str
    pid: int
    since: str
    started: float
    is_alive: bool | None
    seen: float

    @property
    def id(self) -> dict[str, Any]:
        """What no other session has."""
        return session_id({"host": self.host, "pid": self.pid, "started": self.started})

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def session_id(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a lock's content that no other session has."""
    return {name: facts.get(name) for name in ("host", "pid", "started")}


def find_session(folder: Path) -> Session | None:
    """The session that has the lock of a run folder, dead or alive; None without one."""
    path = folder / ".lock"
    try:
        seen, facts = path.stat().st_mtime, read_lock(path, _TRIES)
        host, pid, started = str(facts["host"]), int(facts["pid"]), float(facts.get("started", 0.0))
    except (OSError, KeyError, TypeError, ValueError):
        return None
    is_alive = process_lives(facts) if host == platform.node() else None
    return Session(host, pid, str(facts.get("since", "unknown")), started, is_alive, seen)
