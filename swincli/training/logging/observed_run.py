"""A run seen from outside: what the files in its folder say, for `swincli watch` and `swincli stop`.

It needs nothing but the folder, so the run may be on another machine that shares the disk. It imports torch only to
read metrics.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from swincli.errors import TrainingError
from swincli.recipe import Recipe, load_recipe
from swincli.system.json_lines import read_last_records
from swincli.training.logging.eta import PACE_SECONDS
from swincli.training.logging.live_view import MemoryUse, RunStatus, reported_scalars
from swincli.training.logging.metric_history import MetricHistory, read_metric_history
from swincli.training.run.running_stats import FORGOTTEN
from swincli.training.run.session import Session, find_session
from swincli.units import format_duration

QUIET_SECONDS = 600.0  # without a sign of life before it is told; at least ten steps
State = Literal["starting", "running", "silent", "killed", "stopped", "finished"]
Record = dict[str, Any]


@dataclass(frozen=True)
class ObservedRun:
    """What a run folder says at a moment.

    Attributes:
        path: The run folder.
        recipe: The run's recipe; None before its first file.
        session: The session that has the lock, dead or alive; None without one.
        saved: Images seen at the newest training state; None without a state.
        model: The newest model file; None without one.
        stats: The last lines of stats.jsonl, oldest first.
        history: Metrics measured in training.
        quiet: Seconds since the last sign of life.
    """

    path: Path
    recipe: Recipe | None
    session: Session | None
    saved: int | None
    model: Path | None
    stats: list[Record] = field(default_factory=list)
    history: MetricHistory | None = None
    quiet: float = 0.0

    @property
    def total(self) -> int:
        """Images to train for; 0 if not known yet."""
        return self.recipe.train.total if self.recipe else 0

    @property
    def last(self) -> Record:
        """The last line of stats.jsonl; empty without one."""
        return self.stats[-1] if self.stats else {}

    @property
    def images_of_last(self) -> float:
        """Images that the last line of stats.jsonl is about."""
        before = self.stats[-2] if len(self.stats) > 1 else {}
        return (_number(self.last, "images_seen") or 0) - (_number(before, "images_seen") or 0)

    @property
    def images_seen(self) -> int:
        """Images seen: at the newest state or, while it runs, at the last line of stats.jsonl if that is later."""
        logged = int(_number(self.last, "images_seen") or 0)
        return max(logged if self.is_running else 0, self.saved or 0)

    @property
    def is_running(self) -> bool:
        """Whether a session has the lock that is not known to be dead."""
        return self.session is not None and self.session.is_alive is not False

    @property
    def state(self) -> State:
        """What the run does, or how it has ended."""
        if self.is_running:
            if self.quiet > self._patience():
                return "silent"
            return "running" if self.recipe and self.saved is not None else "starting"
        if self.recipe and self.saved is not None and self.saved >= self.total:
            return "finished"
        return "stopped" if self.session is None else "killed"

    @property
    def words(self) -> str:
        """The state in words, with host, process and start of the session."""
        place = f"{self.images_seen:,} of {self.total:,} images" if self.recipe else "before the first save"
        quiet = f"no sign of life for {format_duration(self.quiet)}"
        return {
            "starting": f"starting: {self.session}",
            "running": f"running: {self.session}",
            "silent": f"{quiet}: {self.session}",
            "killed": f"killed: {self.session}, is gone; saved: {place}",
            "stopped": f"stopped at {place}",
            "finished": f"finished: {place}",
        }[self.state]

    def pace(self) -> float | None:
        """Seconds of steps per image, over the last two minutes of steps; None if no line says it."""
        seconds = images = 0.0
        for before, line in reversed(list(zip([{}, *self.stats], self.stats, strict=False))):
            done = (_number(line, "images_seen") or 0) - (_number(before, "images_seen") or 0)
            each = _number(line, "sec_per_kimg")
            if each is None or done <= 0:
                continue
            seconds, images = seconds + each * done / 1000, images + done
            if seconds > PACE_SECONDS:
                break
        return seconds / images if images else None

    def wall_pace(self) -> float | None:
        """Seconds per image of this session by the clock, with all pauses; the pace of steps if it has no two lines."""
        since = _moment(self.session.since) if self.session else None
        lines = [line for line in self.stats if since and (at := _moment(line.get("time"))) and at >= since]
        if len(lines) > 1:
            images = (_number(lines[-1], "images_seen") or 0) - (_number(lines[0], "images_seen") or 0)
            first, last = _moment(lines[0].get("time")), _moment(lines[-1].get("time"))
            if first and last and images > 0 and last > first:
                return (last - first) / images
        return self.pace()

    def _patience(self) -> float:
        batch = self.recipe.train.batch if self.recipe else 0
        return max(QUIET_SECONDS, 10 * batch * (self.pace() or 0.0))


class RunObserver:
    """Looks at a run folder again and again; reads only what has changed.

    Args:
        path: The run folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: dict[Path, tuple[tuple[int, int], Any]] = {}

    def look(self) -> ObservedRun:
        """What the folder says now.

        Raises:
            TrainingError: there is no such folder, or no run in it.
            RecipeError: the run's recipe cannot be read by this version.
        """
        folder, session = self.path, find_session(self.path)
        recipe: Recipe | None = self._once(folder / "recipe.toml", lambda path: load_recipe(str(path)))
        if recipe is None and session is None:
            problem = "there is no run in this folder" if folder.is_dir() else "no such run folder"
            raise TrainingError(
                f"{folder}: {problem}", "Give the folder that `swincli train` writes, such as runs/NAME."
            )
        metrics = folder / "metrics.jsonl"
        history = self._once(metrics, lambda path: read_metric_history(path, recipe.evaluate.num)) if recipe else None
        models = sorted(folder.glob("model-*.safetensors"))
        states = sorted(folder.glob("state-*.pt"))
        return ObservedRun(
            path=folder,
            recipe=recipe,
            session=session,
            saved=max(map(_images_of, states), default=None),
            model=models[-1] if models else None,
            stats=self._once(folder / "stats.jsonl", read_last_records) or [],
            history=history,
            quiet=_quiet([folder / ".lock", folder / "stats.jsonl", metrics, *states[-1:], *models[-1:]]),
        )

    def _once(self, path: Path, read: Any) -> Any:
        """`read(path)`, or what it was if the file has not changed; None without a file."""
        try:
            stat = path.stat()
        except OSError:
            return None
        mark = (stat.st_mtime_ns, stat.st_size)
        if path not in self._read or self._read[path][0] != mark:
            self._read[path] = (mark, read(path))
        return self._read[path][1]


def status_of(run: ObservedRun) -> RunStatus:
    """The run as the training's own live view shows it."""
    recipe, last, now = run.recipe or Recipe(), run.last, time.time()
    since = (_moment(run.session.since) if run.session else None) or now
    at = max(since, _moment(last.get("time")) or 0.0) if run.is_running else now  # of the facts
    pace = run.wall_pace()
    return RunStatus(
        run=str(run.path),
        images_seen=run.images_seen,
        total=run.total,
        seconds_per_image=run.pace(),
        until=_until(run, recipe, pace if run.is_running else None),
        scalars=reported_scalars(recipe),
        means=_means(run.stats[-FORGOTTEN:]),
        steps=max(0, int(run.images_of_last) // recipe.train.batch),
        rates=(_number(last, "g_lr") or 0.0, _number(last, "d_lr") or 0.0),
        trained=_number(last, "seconds") or 0.0,
        session=max(0.0, at - since),
        metrics=run.history.words() if run.history else {},
        state=run.words,
        ahead=(pace or 0.0) * recipe.run.log if run.state == "running" else 0.0,
        at=time.monotonic() - max(0.0, now - at),
    )


def _until(run: ObservedRun, recipe: Recipe, pace: float | None) -> dict[str, float | None]:
    """Seconds to the end, to the next save and the next metric; None without a pace."""
    seen, total = run.images_seen, run.total
    targets = {"to the end": total}
    for name, every in (("next save", recipe.run.snapshot), ("next metric", recipe.evaluate.every)):
        if every:
            targets[name] = min((seen // every + 1) * every, total)
    return {name: None if pace is None else pace * max(0, target - seen) for name, target in targets.items()}


def _means(records: list[Record]) -> dict[str, float]:
    """The networks' scalars in the last line of stats.jsonl; what it lacks, such as R1, from the lines before."""
    merged = {name: value for record in records for name, value in record.items() if "/" in name}
    names = [name for name in merged if not name.startswith("memory/")]
    return {name: value for name in names if (value := _number(merged, name)) is not None}


def memory_of(run: ObservedRun) -> dict[str, MemoryUse]:
    """Memory of the run's main process and its GPU, as of the last line of stats.jsonl."""
    found = {name: _number(run.last, f"memory/{name}") for name in ("cpu", "gpu")}
    return {name: MemoryUse(int(used)) for name, used in found.items() if used is not None}


def facts_of(run: ObservedRun) -> dict[str, Any]:
    """The run as one JSON object."""
    status, session, history = status_of(run), run.session, run.history
    return {
        "run": str(run.path),
        "state": run.state,
        "host": session.host if session else None,
        "pid": session.pid if session else None,
        "since": session.since if session else None,
        "quiet_seconds": round(run.quiet, 1),
        "images_seen": run.images_seen,
        "total": run.total,
        "saved": run.saved,
        "model": str(run.model) if run.model else None,
        "sec_per_kimg": None if status.seconds_per_image is None else 1000 * status.seconds_per_image,
        "seconds_left": status.until["to the end"],
        "trained_seconds": status.trained,
        "stats": dict(status.means),
        "metrics": {name: {"value": value, "images_seen": at} for name, (value, at) in history.last.items()}
        if history
        else {},
        "best": {name: {"value": value, "images_seen": at} for name, (value, at) in history.best.items()}
        if history
        else {},
    }


def _images_of(state: Path) -> int:
    digits = re.fullmatch(r"state-(\d+)\.pt", state.name)
    return int(digits[1]) if digits else 0


def _quiet(paths: Iterable[Path]) -> float:
    """Seconds since one of the files was written; clocks of machines that differ make it wrong by as much."""
    times = []
    for path in paths:
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(0.0, time.time() - max(times, default=time.time()))


def _number(record: Record, name: str) -> float | None:
    value = record.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 2**63 and math.isfinite(value) else None  # type: ignore[arg-type]


def _moment(text: Any) -> float | None:
    """Seconds since 1970 of a time as text; None if it is none."""
    with suppress(TypeError, ValueError, OverflowError):
        return datetime.fromisoformat(text).timestamp()
    return None
