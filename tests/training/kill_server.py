"""Trains in forked processes and kills them: a process of its own, so that each trial starts with PyTorch imported.

Reads one JSON object a line on stdin, `{"recipe", "out", "after", "event", "measured"}`, and answers with one:
`{"killed", "failed", "where", "events", "seconds"}`. A trial is killed after so many seconds, at its so many-th event
on the disk, or, with neither, not at all. Events are what a run does to its folder: opening a file to write, filling
it in part, syncing it (before and after), renaming, removing.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import safetensors.torch
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.metrics.evaluate import Evaluation
from swincli.metrics.protocol import DetectorRecord, Protocol, ReferenceRecord
from swincli.recipe import load_recipe
from swincli.training import in_training_metrics, loop
from swincli.training.run.state import build_state

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
FIDS = {4: 3.0, 8: 5.0, 12: 4.0}  # by images seen: the best one is the oldest


class Events:
    """Counts what happens to a folder; kills this process at one of the events.

    Args:
        folder: Events outside are not counted.
        last: Number of the event that is the last; None for none.
        say: Told where the process dies, or how many events there were.
    """

    def __init__(self, folder: str, last: int | None, say: Callable[[str], None]) -> None:
        self.folder, self.last, self.say = folder, last, say
        self.count = 0

    def happen(self, what: str, path: object, spoil: Callable[[Path], object] | None = None) -> None:
        if not isinstance(path, str | Path) or not str(path).startswith(self.folder):
            return
        self.count += 1
        if self.count == self.last:
            self.last = None  # what spoils the file is no event
            if spoil is not None:
                spoil(Path(path))
            self.say(f"{what} {Path(path).name}")
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            self.happen("before opening", arguments[0])
            self.happen("in the middle of", arguments[0], lambda path: path.open("ab").write(b'{"images_seen": 4, "'))
        elif event in ("os.rename", "os.remove", "os.mkdir"):
            self.happen(f"before {event} of", arguments[0])

    def watch(self) -> None:
        """Count from now on; PyTorch, safetensors and Pillow write without Python's knowing, so they are wrapped."""
        sync = os.fsync

        def fsync(descriptor: int) -> None:
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            self.happen("before the sync of", path)
            sync(descriptor)
            self.happen("after the sync of", path)

        def spoiling(write: Callable[..., Any], position: int) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **options: Any) -> Any:
                result = write(*arguments, **options)
                self.happen("in the middle of", arguments[position], lambda path: os.truncate(path, _half(path)))
                return result

            return wrapped

        os.fsync = fsync
        torch.save = spoiling(torch.save, 1)
        safetensors.torch.save_file = spoiling(safetensors.torch.save_file, 1)
        PIL.Image.Image.save = spoiling(PIL.Image.Image.save, 1)  # type: ignore[method-assign]
        sys.addaudithook(self.audit)


def _half(path: Path) -> int:
    return path.stat().st_size // 2


def measure_by_table() -> None:
    """Have training measure what stands in a table, without a detector."""

    def evaluate(fakes: Any, *_: object, **__: object) -> Evaluation:
        reference, detector = ReferenceRecord("reals", 10, 16, "hash"), DetectorRecord("table", "0", 1)
        protocol = Protocol(fakes.record, reference, detector, "none", "uint8", 0, "cpu", {})
        return Evaluation({"fid": FIDS[fakes.record.images_seen]}, protocol, [])

    in_training_metrics.find_detector_weights = lambda *_: Path()  # type: ignore[assignment]
    in_training_metrics.load_detector = lambda *_: None  # type: ignore[assignment, return-value]
    in_training_metrics.evaluate = evaluate


def run(request: dict[str, Any], say: Callable[[str], None]) -> None:
    """One session of training, in the process of its own that is to be killed."""
    events = Events(request["out"], request["event"], say)
    if request["after"] is None:
        events.watch()
    if request["measured"]:
        measure_by_table()
    recipe = load_recipe(request["recipe"])
    store = Store.open(str(recipe.data.path))
    loop.train(recipe, store, Path(request["out"]), torch.device("cpu"), Console(quiet=True), resume=True)
    say(str(events.count))


def trial(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, train, kill where that was asked for, and tell what became of it."""
    reading, writing = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            run(request, lambda text: os.write(writing, text.encode()) and None)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    if not select.select([reading], [], [], request["after"])[0]:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    said = os.read(reading, 1000).decode()
    os.close(reading)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {
        "killed": killed,
        "failed": not killed and status != 0,
        "where": said if request["after"] is None else f"after {request['after']:.3f} s",
        "events": int(said) if said.isdigit() else None,
        "seconds": time.monotonic() - started,
    }


def main() -> None:
    torch.set_num_threads(1)
    np.seterr(all="raise")
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        if number == 0:
            build_state(
                load_recipe(request["recipe"]), "", torch.device("cpu")
            )  # what it imports is there for all trials
            gc.freeze()
        answer = json.dumps(trial(request))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
