"""`run.mirror`: a copy of the run on a second disk, made after each save by a thread and read back.

A disk that fails costs a warning, never the run. The next save tries again. Nothing is ever deleted in the mirror.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from swincli.console import Console
from swincli.errors import RecipeError, ResourceError, SwincliError, TrainingError, from_os_error
from swincli.recipe import Recipe, load_recipe
from swincli.system.atomic_files import atomic_path
from swincli.system.file_hash import file_sha256
from swincli.training.run.same_run import fixed_differences
from swincli.units import format_items

PAUSES = (1.0, 5.0)  # seconds before what failed is tried again in the same round
LAST_PATIENCE = 1800.0  # seconds that the end of a session waits for the last round at most
_CHUNK = 2**24  # bytes
_SILENT = 2.0  # seconds until waiting for the last round is told
_SAME_TIME = 2.0  # seconds; FAT keeps even ones only
_NOT_COPIED = ("wandb",)  # its own upload is its copy


class Mirror:
    """Copies a run folder to `DIR/NAME`, where NAME is the folder's name.

    Args:
        source: The run folder.
        disk: `run.mirror`.
        recipe: The run's recipe; a mirror of another run is never written to.
        console: Where warnings go.
    """

    def __init__(self, source: Path, disk: Path, recipe: Recipe, console: Console) -> None:
        self.source, self.target, self._console = source, disk / source.resolve().name, console
        self._recipe, self._is_ours = recipe, False
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._failing = self._is_last = False
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

    def rehearse(self, *, is_new: bool) -> None:
        """Make the folder, and write, read and remove a small file there.

        Args:
            is_new: Whether the run begins, and so must not mix with the states of an earlier one.

        Raises:
            ResourceError: the folder cannot be written, or does not give back what was written.
            TrainingError: it holds another run, or this one from an earlier start.
        """
        probe, content = self.target / f".probe-{os.getpid()}", os.urandom(64)
        try:
            self.target.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(content)
            is_intact = probe.read_bytes() == content
            probe.unlink()
        except OSError as error:
            raise from_os_error(error, f"run.mirror: writing {self.target}") from error
        if not is_intact:
            raise ResourceError(f"run.mirror: {self.target} does not give back what is written", "Check the disk.")
        self._check_ours()
        states = [path for path in self.target.glob("state-*.pt") if not (self.source / path.name).exists()]
        if is_new and states:  # a run that was killed before its first step may have copied its untrained state
            raise TrainingError(
                f"run.mirror: {max(states)} exists, but the run begins",
                f"To go on from it, copy {self.target} to {self.source}. Else give another run.mirror or --out.",
            )

    def _check_ours(self) -> None:
        """Raise TrainingError if the folder holds another run, or is the run folder itself."""
        hint = "Give another run.mirror, or another --out."
        if self.target.resolve() == self.source.resolve():
            raise TrainingError(f"run.mirror: {self.target} is the run folder itself", hint)
        there = self.target / "recipe.toml"
        try:
            is_other = there.exists() and bool(fixed_differences(load_recipe(str(there)), self._recipe))
        except RecipeError:
            is_other = True
        if is_other:
            raise TrainingError(f"run.mirror: {self.target} holds another run", hint)
        self._is_ours = True

    def start(self) -> None:
        """Start the thread, with a first round."""
        self._thread.start()
        self.update()

    def update(self) -> None:
        """Copy what is new, soon; does not wait."""
        self._wanted.set()

    def close(self, patience: float = LAST_PATIENCE) -> None:
        """Copy what is new for the last time, and wait until that is done.

        Args:
            patience: Seconds to wait at most; a hanging network disk must not keep the process for ever.
        """
        if not self._thread.is_alive():
            return
        self._ending.set()
        self._wanted.set()
        self._thread.join(_SILENT)
        if self._thread.is_alive():
            self._console.say(f"run.mirror: finishing the copy in {self.target}")
            self._thread.join(patience)
        if self._thread.is_alive():
            self._console.warn(f"run.mirror: {self.target} does not answer; the last save may be missing there")

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._is_last = self._ending.is_set()
            self._wanted.clear()
            try:
                self._round()
            except Exception as error:  # no error of the mirror may reach the run
                self._warn(error)
            if self._is_last:
                return

    def _round(self) -> None:
        """Copy what is new; what fails is tried again after a pause, and then told."""
        if not self._is_ours:
            self._check_ours()
        copied, left = 0, list(files_of(self.source))
        for pause in (*PAUSES, None):
            left, failure, done = self._copy_all(left)
            copied += done
            if failure is None or pause is None:
                break
            time.sleep(pause)
        if failure is not None:
            self._warn(failure)
        elif self._failing:
            self._failing = False
            self._console.say(f"run.mirror: {self.target} is complete again, with {format_items(copied, 'new file')}")

    def _copy_all(self, paths: list[Path]) -> tuple[list[Path], Exception | None, int]:
        """Copy files. Returns those that failed, the first failure, and the number of those that were copied."""
        failed: list[Path] = []
        failure: Exception | None = None
        copied = 0
        for path in paths:
            try:
                copied += self._copy(path)
            except (OSError, SwincliError) as error:
                failed.append(path)
                failure = failure or error
        return failed, failure, copied

    def _warn(self, error: Exception) -> None:
        why = error.message if isinstance(error, SwincliError) else str(error)
        then = "" if self._is_last else ", training goes on; the next save tries again"
        self._console.warn(f"run.mirror: not copied{then}: {why}")
        self._failing = True

    def _copy(self, path: Path) -> bool:
        target = self.target / path.relative_to(self.source)
        if not self.target.is_dir():  # made again, it could be on the wrong disk
            raise ResourceError(f"{self.target}: is gone")
        try:
            if _is_same(path, target):
                return False
            with path.open("rb") as source:
                before = os.fstat(source.fileno())
                with atomic_path(target) as temporary:
                    written = _write(source.read, temporary)
                    if file_sha256(temporary) != written:
                        raise ResourceError(f"{target}: the disk does not give back what was written")
                    os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
        except FileNotFoundError:
            if path.exists():
                raise
            return False  # an old state that was removed meanwhile
        return True


def files_of(folder: Path) -> Iterator[Path]:
    """The files of a run that a mirror holds, the state last: recipe, logs, grids, models; hidden ones are left out."""
    found = []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if not any(part.startswith(".") for part in parts) and parts[0] not in _NOT_COPIED and path.is_file():
            found.append(path)
    yield from sorted(found, key=lambda path: (path.suffix == ".pt", path.name))


def _is_same(path: Path, target: Path) -> bool:
    try:
        there = target.stat()
    except FileNotFoundError:
        return False
    here = path.stat()
    return here.st_size == there.st_size and abs(here.st_mtime - there.st_mtime) < _SAME_TIME


def _write(read: Callable[[int], bytes], path: Path) -> str:
    """Write everything that `read` gives, and make the system forget it, so that it is read back from the disk.

    Returns:
        SHA-256 of the bytes.
    """
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while chunk := read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return digest.hexdigest()
