"""Beside training, on rank 0: the mirror and the event command hear when a run begins, saves, improves or ends."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from swincli.console import Console
from swincli.errors import ResourceError, SwincliError
from swincli.system.distributed import Processes
from swincli.training.run.event_command import Event, EventCommand
from swincli.training.run.folder import RunFolder
from swincli.training.run.mirror import Mirror
from swincli.training.run.signals import StopRequest
from swincli.training.run.state import TrainingState


class SideTasks:
    """Tells the mirror and the event command of a run what has happened. Neither can harm the run once it has begun.

    Args:
        folder: The run folder.
        state: The run's state.
        console: Where warnings go.
    """

    def __init__(self, folder: RunFolder, state: TrainingState, console: Console) -> None:
        self._folder, self._state, self._console = folder, state, console
        self._stop: StopRequest | None = None
        run = state.recipe.run
        self._mirror = Mirror(folder.path, Path(run.mirror).expanduser(), state.recipe, console) if run.mirror else None
        self._command = EventCommand(run.on_event, console) if run.on_event else None
        self._has_begun = False

    def begin(self, stop: StopRequest) -> None:
        """Try the mirror, and the command with the event "test" if the run is new.

        Args:
            stop: Knows at the end why the run has stopped.

        Raises:
            ResourceError: the mirror of a new run cannot be written. For a resumed run, which a scheduler may have
                started at night, this is a warning.
            TrainingError: the mirror holds another run.
        """
        self._stop, is_new = stop, not self._folder.is_started()
        if self._mirror:
            try:
                self._mirror.rehearse(is_new=is_new)
            except ResourceError as error:
                if is_new:
                    raise
                self._console.warn(f"{error.message}; training goes on, each save tries again")
            self._mirror.start()
        if is_new:
            self._tell("test")
        self._tell("started")
        self._has_begun = True

    def saved(self) -> None:
        """The state and the model of this moment are written."""
        if self._mirror:
            self._mirror.update()
        self._tell("saved")

    def measured(self) -> None:
        """The metrics of this moment are written."""
        if self._mirror:
            self._mirror.update()
        best = self._folder.best(self._state.recipe)
        if best and best[0] == self._state.images_seen:
            self._tell("best")

    def end(self, error: BaseException | None = None) -> None:
        """Finish the mirror, tell how the session ended, and wait for both."""
        if self._mirror:
            self._mirror.close()
        if self._has_begun:
            if error is not None:
                self._tell("failed", _reason(error))
            elif self._state.images_seen >= self._state.recipe.train.total:
                self._tell("finished")
            else:
                self._tell("stopped", self._stop.reason if self._stop else None)
        if self._command:
            self._command.close()

    def _tell(self, event: Event, reason: str | None = None) -> None:
        if not self._command:
            return
        seen, best = self._state.images_seen, self._folder.best(self._state.recipe)
        models = sorted(self._folder.path.glob("model-*.safetensors"))
        self._command.tell(
            {
                "event": event,
                "run": str(self._folder.path.resolve()),
                "images": seen,
                "total": self._state.recipe.train.total,
                "metrics": self._folder.last_metrics(),
                "best": {"images": best[0], "value": best[1]} if best else None,
                "model": str(models[-1].resolve()) if models else None,
                "reason": reason,
                "host": platform.node(),
                "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            }
        )


@contextmanager
def side_tasks(
    folder: RunFolder, state: TrainingState, console: Console, processes: Processes
) -> Iterator[SideTasks | None]:
    """The side tasks of a run while the block runs: on rank 0; None on the other ranks. Waits for them at the end."""
    if not processes.is_main:
        yield None
        return
    tasks = SideTasks(folder, state, console)
    try:
        yield tasks
    except BaseException as error:
        tasks.end(error)
        raise
    tasks.end()


def _reason(error: BaseException) -> str:
    """An error in one line."""
    text = error.message if isinstance(error, SwincliError) else str(error)
    return (text.strip() or type(error).__name__).splitlines()[0]
