"""What a run says while it goes: the live view or plain lines, and stats.jsonl."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from swincli.console import PLAIN_SECONDS, Console
from swincli.files import append_line
from swincli.training.run_folder import RunFolder
from swincli.training.state import TrainingState
from swincli.units import format_bytes, format_count, format_duration

PACE_SECONDS = 120.0  # the pace is that of the last two minutes, saves and grids included


class Pace:
    """Images a second over the recent past, by the clock on the wall."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, images_seen: int) -> None:
        """Note how far training is now."""
        now = time.monotonic()
        self._marks.append((now, images_seen))
        while len(self._marks) > 2 and now - self._marks[1][0] > PACE_SECONDS:
            self._marks.popleft()

    def seconds_per_image(self) -> float | None:
        """None until two marks are known."""
        if len(self._marks) < 2 or self._marks[-1][1] == self._marks[0][1]:
            return None
        (t0, n0), (t1, n1) = self._marks[0], self._marks[-1]
        return (t1 - t0) / (n1 - n0)


def memory_in_use(device: torch.device) -> dict[str, int]:
    """Bytes: this process's memory, and the most that PyTorch has held on a GPU since the start."""
    used = {"cpu": int(psutil.Process().memory_info().rss)}
    if device.type == "cuda":
        used["gpu"] = int(torch.cuda.max_memory_reserved(device))
    return used


class Report:
    """Follows a run and tells its console and its logs."""

    def __init__(self, console: Console, folder: RunFolder, device: torch.device) -> None:
        self.console, self.folder, self.device = console, folder, device
        self.pace = Pace()
        self.last_means: dict[str, float] = {}
        self.last_metric = ""
        self._live: Live | None = None
        self._last_line = time.monotonic()

    @contextmanager
    def following(self, state: TrainingState) -> Iterator[None]:
        """Show the live view for as long as the block runs, where stderr is a terminal."""
        self.pace.mark(state.images_seen)
        if not self.console.live:
            yield
            return
        with Live(console=self.console.stderr, refresh_per_second=4, get_renderable=lambda: self.view(state)) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def step(self, state: TrainingState, scalars: dict[str, float], seconds: float) -> None:
        """Count in one step; write a line of stats.jsonl where one is due."""
        recipe = state.recipe
        state.window.add(scalars, recipe.train.batch, seconds)
        state.seconds += seconds
        self.pace.mark(state.images_seen)
        self.last_means = {**self.last_means, **scalars} if self._live else self.last_means
        if crossed(state.images_seen, recipe.train.batch, recipe.run.log) or state.images_seen >= recipe.train.total:
            self._write_line(state)

    def _write_line(self, state: TrainingState) -> None:
        window, group = state.window, state.g_optimizer.param_groups[0]
        self.last_means = window.means()
        append_line(
            self.folder.stats,
            {
                "images_seen": state.images_seen,
                "sec_per_kimg": round(1000 * window.seconds / window.images, 3),
                "seconds": round(state.seconds, 3),
                "g_lr": group["lr"],
                "d_lr": state.d_optimizer.param_groups[0]["lr"],
                **{f"memory/{name}": size for name, size in memory_in_use(self.device).items()},
                **self.last_means,
            },
        )
        state.window = type(window)()
        now = time.monotonic()
        if self._live is None and now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            self.console.say(self.line(state))

    def line(self, state: TrainingState) -> str:
        """Where the run is, in one line of fixed fields."""
        total = state.recipe.train.total
        fields = [f"kimg {state.images_seen / 1000:.1f} ({state.images_seen / total:.0%})"]
        pace = self.pace.seconds_per_image()
        if pace is not None:
            fields += [f"sec/kimg {1000 * pace:.1f}", f"ETA {format_duration(pace * (total - state.images_seen))}"]
        means = self.last_means
        fields += [f"{name} {means[key]:.3f}" for name, key in _SHORT.items() if key in means]
        fields.append(f"memory {_memory_words(self.device)}")
        return "  ".join(fields)

    def view(self, state: TrainingState) -> RenderableType:
        """The live view: a bar, and what a person asks first."""
        recipe, seen = state.recipe, state.images_seen
        total, pace = recipe.train.total, self.pace.seconds_per_image()
        head = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=total, completed=min(seen, total), width=36)
        head.add_row(bar, f"{seen / total:.1%}", f"{format_count(seen)} of {format_count(total)} images")
        facts = Table.grid(padding=(0, 3))
        rows: list[tuple[str, str]] = [("kimg", f"{seen / 1000:.2f}")]
        if pace is not None:
            to_snapshot = recipe.run.snapshot - seen % recipe.run.snapshot
            rows += [
                ("sec/kimg", f"{1000 * pace:.1f}"),
                ("to the end", format_duration(pace * max(0, total - seen))),
                ("to the next save", format_duration(pace * min(to_snapshot, max(0, total - seen)))),
            ]
        means = self.last_means
        losses = [(words, f"{means[key]:.3f}") for words, key in _LONG.items() if key in means]
        machine = [
            ("learning rate G, D", f"{_lr(state.g_optimizer)}, {_lr(state.d_optimizer)}"),
            ("memory", _memory_words(self.device)),
            ("time in training", format_duration(state.seconds)),
        ]
        if self.last_metric:
            machine.append(("last metric", self.last_metric))
        facts.add_row(_column(rows), _column(losses), _column(machine))
        return Panel(Group(head, "", facts), title=f"[bold]{self.folder.path}[/]", title_align="left")


_SHORT = {"D": "loss/d", "G": "loss/g", "R1": "loss/r1", "D(real)>0": "d/real_accuracy"}
_LONG = {
    "loss D": "loss/d",
    "loss G": "loss/g",
    "R1": "loss/r1",
    "bCR": "loss/bcr",
    "reals seen as real": "d/real_accuracy",
    "fakes seen as fake": "d/fake_accuracy",
    "gradient D": "grad/d",
    "gradient G": "grad/g",
}


def _column(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 1))
    for name, value in rows:
        table.add_row(f"[dim]{name}[/]", value)
    return table


def _lr(optimizer: torch.optim.Optimizer) -> str:
    return f"{optimizer.param_groups[0]['lr']:.2e}"


def _memory_words(device: torch.device) -> str:
    return ", ".join(f"{name.upper()} {format_bytes(size)}" for name, size in memory_in_use(device).items())


def crossed(images_seen: int, batch: int, interval: int) -> bool:
    """Whether the step that ended at `images_seen` passed a multiple of `interval`."""
    return images_seen // interval != (images_seen - batch) // interval


def announcement(state: TrainingState, images: int, device: torch.device) -> list[str]:
    """What is about to happen, before the first step."""
    recipe = state.recipe
    sizes = {name: sum(p.numel() for p in getattr(state, name).parameters()) for name in ("generator", "discriminator")}
    return [
        f"G has {sizes['generator']:,} parameters, D {sizes['discriminator']:,}, at {recipe.model.size} px on {device}",
        f"{images:,} training images; {format_count(recipe.train.total)} to be shown, {recipe.train.batch} a step",
    ]
