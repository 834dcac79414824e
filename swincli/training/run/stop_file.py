"""`RUN/.stop`: asks the session of a run folder to save and end, from any process or machine that sees the folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from swincli.system.atomic_files import write_atomically
from swincli.training.run.lock import RunLock
from swincli.training.run.session import Session, session_id
from swincli.training.run.signals import StopRequest

NAME = ".stop"
POLL_SECONDS = 2.0  # least time between two looks at the disk
REASON = "stop requested"


@contextmanager
def listen_for_stop(lock: RunLock, stop: StopRequest) -> Iterator[None]:
    """Have `stop` obey the stop file of a run while the block runs; rank 0 does it for all ranks.

    A request names its session, so that no later one obeys it. An empty file, as `touch` makes it, means the session
    that is running. What an earlier session has left is removed.
    """
    request = StopFile(lock)
    request.remove(stale=True)
    stop.listen(request.poll)
    try:
        yield
    finally:
        request.remove()


class StopFile:
    """The stop file of a run, as its session sees it.

    Args:
        lock: The lock that this session holds; each look at the disk gives a sign of life there.
        clock: Monotonic time in seconds.
    """

    def __init__(self, lock: RunLock, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = lock, clock
        self.path = lock.folder / NAME
        self._next = 0.0

    def poll(self) -> str | None:
        """The reason to stop; None without a request. Looks at the disk every two seconds at most."""
        now = self._clock()
        if now < self._next:
            return None
        self._next = now + POLL_SECONDS
        self._lock.touch()
        if not self._is_ours():
            return None
        self.remove()  # which tells `swincli stop` that it was heard
        return REASON

    def remove(self, *, stale: bool = False) -> None:
        """Remove the file; with `stale`, only one that was there before this session or is for another one."""
        with suppress(OSError):
            if self.path.exists() and not (stale and self._names_us()):
                self.path.unlink()

    def _is_ours(self) -> bool:
        named = self._read()
        return named is not None and (not named or named == session_id(self._lock.facts))

    def _names_us(self) -> bool:
        return self._read() == session_id(self._lock.facts)

    def _read(self) -> dict[str, Any] | None:
        """The session that the file names; empty if it names none, None if there is no file."""
        try:
            content = json.loads(self.path.read_bytes())["session"]
        except OSError:  # no request, or a disk that is away for a moment
            return None
        except (ValueError, KeyError, TypeError):
            return {}
        return content if isinstance(content, dict) else {}


def request_stop(folder: Path, session: Session) -> Path:
    """Ask a session to save and end.

    Returns:
        The file; the session removes it when it obeys.

    Raises:
        ResourceError: it cannot be written.
    """
    path = folder / NAME
    content = {"session": session.id, "asked": datetime.now().astimezone().isoformat(" ", "seconds")}
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(content), encoding="utf-8"))
    return path
