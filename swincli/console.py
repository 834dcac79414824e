"""Console output: results on stdout; messages, tables and progress on stderr.

The command line creates one `Console` and passes it down; there is no global one. If stderr is not a terminal, live
views become plain lines, so logs stay readable.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from swincli.units import format_duration, format_json

STDOUT = "standard output"
PLAIN_SECONDS = 15.0  # between two progress lines without a terminal
LIVE_SECONDS = 0.1  # between two updates of a bar: as often as it is drawn; an update takes as long as a small picture


class Advance(Protocol):
    """Progress callback: called with the number of further items done."""

    def __call__(self, count: int = 1) -> None: ...


class Console:
    """Prints results, messages, tables and progress.

    Args:
        json_mode: `emit` writes one JSON object instead of lines.
        quiet: `say`, `show` and progress print nothing; warnings and errors still appear.
    """

    def __init__(self, *, json_mode: bool = False, quiet: bool = False) -> None:
        self.json_mode = json_mode
        self.quiet = quiet
        self.stderr = RichConsole(stderr=True, highlight=False, emoji=False, soft_wrap=True)
        self._warned: set[str] = set()

    @property
    def live(self) -> bool:
        """Whether live views can redraw: stderr is a terminal and `quiet` is off."""
        return self.stderr.is_terminal and not self.quiet

    def say(self, text: str) -> None:
        """Print a line of text on stderr."""
        if not self.quiet:
            self.stderr.print(text, markup=False)

    def warn(self, text: str, *, once: bool = False) -> None:
        """Print a warning on stderr, even if quiet. With `once`, a text is printed only the first time."""
        if once and text in self._warned:
            return
        self._warned.add(text)
        self.stderr.print(Text.assemble(("warning:", "yellow"), " ", text))

    def error(self, message: str, hint: str | None = None) -> None:
        """Print an error and its hint on stderr, even if quiet."""
        self.stderr.print(Text.assemble(("error:", "bold red"), " ", message))
        if hint:
            self.stderr.print(Text.assemble(("\nhint:", "bold"), " ", hint))

    def show(self, renderable: RenderableType) -> None:
        """Print a table or panel on stderr."""
        if not self.quiet:
            self.stderr.print(renderable)

    def emit(self, data: dict[str, Any], lines: Iterable[str]) -> None:
        """Print the result on stdout: `data` as one JSON object with --json, else `lines`.

        JSON has no infinity and no NaN; both become null.

        Raises:
            BrokenPipeError: the reader of stdout has gone, or stdout is closed.
            OSError: stdout cannot be written, such as a file on a full disk; `filename` is "standard output".
        """
        if sys.stdout is None:  # closed by the shell: `>&-`
            raise BrokenPipeError
        try:
            if self.json_mode:
                sys.stdout.write(format_json(data) + "\n")
            else:
                sys.stdout.writelines(f"{line}\n" for line in lines)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, STDOUT) from error

    @contextmanager
    def progress(
        self, description: str, total: int | None, unit: str = "images", status: Callable[[], str] | None = None
    ) -> Iterator[Advance]:
        """Show progress: a bar on a terminal, otherwise one line every 15 seconds.

        Args:
            description: Name of the work, such as "Reading".
            total: Number of items; None if unknown.
            unit: Plural of the counted items.
            status: Returns further text to show, such as a loss.
        """
        if self.quiet:
            yield _no_progress
        elif self.live:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(unit),
                TextColumn("{task.fields[rate]}"),
                TextColumn("{task.fields[status]}"),
                TimeRemainingColumn(elapsed_when_finished=True),
            )
            with RichProgress(*columns, console=self.stderr, transient=True) as bar:
                task = bar.add_task(description, total=total, rate="", status="")

                item = bar.tasks[0]
                waiting, shown = 0, -math.inf

                def show() -> None:
                    nonlocal waiting, shown
                    item.completed -= waiting
                    bar.advance(task, waiting)
                    speed = item.speed
                    rate = "" if speed is None else f"{speed:,.1f} {unit}/s"
                    bar.update(task, rate=rate, status=status() if status else "")
                    waiting, shown = 0, time.monotonic()

                def advance(count: int = 1) -> None:
                    nonlocal waiting
                    waiting += count
                    item.completed += count  # drawn by the bar's own thread
                    if time.monotonic() - shown >= LIVE_SECONDS:
                        show()

                yield advance
                show()
        else:
            yield self._plain_progress(description, total, unit, status)

    def _plain_progress(
        self, description: str, total: int | None, unit: str, status: Callable[[], str] | None
    ) -> Advance:
        started = last = time.monotonic()
        done = 0

        def advance(count: int = 1) -> None:
            nonlocal done, last
            done += count
            now = time.monotonic()
            if now - last < PLAIN_SECONDS or not done:
                return
            last = now
            line = f"{description}: {done:,}"
            if total:
                rate = done / max(now - started, 1e-9)
                line += f" of {total:,} {unit}, {rate:,.1f} {unit}/s, {format_duration((total - done) / rate)} left"
            else:
                line += f" {unit}"
            self.say(f"{line}, {status()}" if status else line)

        return advance


def _no_progress(count: int = 1) -> None:
    pass
