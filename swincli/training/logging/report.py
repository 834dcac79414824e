"""What a run says while it goes: the live view or plain lines, stats.jsonl, and the boards that it is watched on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch
from rich.live import Live

from swincli.console import PLAIN_SECONDS, Console
from swincli.recipe import Recipe
from swincli.system.atomic_files import append_json_line
from swincli.system.runtime import choose_precision
from swincli.training.logging.eta import Pace, crossed
from swincli.training.logging.live_view import Facts, LiveView, Memory, line
from swincli.training.logging.metric_history import Measured, read_measured
from swincli.training.logging.moving_means import Recent
from swincli.training.logging.trackers import Boards, open_boards
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState
from swincli.units import format_count

__all__ = ["Report", "announcement", "crossed", "memory_in_use"]

FACTS_SECONDS = 0.2  # between two looks at a run for the live view


class Report:
    """Follows a run and tells its console, its logs and its boards.

    Args:
        console: Where the live view or the lines go.
        folder: The run's files.
        device: Where the networks live.
        processes: How many train together.
    """

    def __init__(self, console: Console, folder: RunFolder, device: torch.device, processes: int = 1) -> None:
        self.console, self.folder, self.device, self.processes = console, folder, device, processes
        self._recent = Recent()
        self._measured = Measured()
        self._boards = Boards(console)
        self._started = self._last_line = time.monotonic()
        self._measuring = False
        self._facts: Facts | None = None

    @contextmanager
    def following(self, state: TrainingState) -> Iterator[None]:
        """Keep the boards open, and the live view where stderr is a terminal, for as long as the block runs.

        Raises:
            ResourceError: the recipe asks for a board that cannot be had.
        """
        recipe = state.recipe
        self._pace = Pace(recipe.train.batch, _pauses(recipe))
        self._measured = read_measured(self.folder.metrics, recipe.evaluate.num)
        self._boards = open_boards(recipe, self.folder, state.images_seen, self.console)
        self._started = self._last_line = time.monotonic()
        self._facts = self._look(state)
        try:
            if not self.console.live:
                yield
                return
            with Live(console=self.console.stderr, refresh_per_second=2, get_renderable=self._view):
                yield
                self._facts = self._look(state)
        finally:
            self._boards.close()

    def step(self, state: TrainingState, scalars: dict[str, float], seconds: float) -> None:
        """Count in one step; write a line of stats.jsonl where one is due.

        Args:
            state: After the step.
            scalars: What its phases report.
            seconds: How long it took.
        """
        train = state.recipe.train
        state.window.add(scalars, train.batch, seconds)
        state.seconds += seconds
        self._recent.add(scalars)
        self._pace.step(state.images_seen, seconds)
        self._measuring = "measure" in self._pace.due
        if crossed(state.images_seen, train.batch, state.recipe.run.log) or state.images_seen >= train.total:
            self._write_stats(state)
        now = time.monotonic()
        if self.console.live:
            if self._facts is None or now - self._facts.at >= FACTS_SECONDS or self._pace.due:
                self._facts = self._look(state)
        elif now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            self.console.say(line(self._look(state), memory_of(self.device)))

    def pictures(self, state: TrainingState) -> None:
        """Show the grid that has been written after so many images."""
        self._boards.picture(state.images_seen, "samples", self.folder.samples(state.images_seen))

    def metric(self, state: TrainingState, measured: dict[str, float]) -> None:
        """Show a measurement of the average, by the metrics' names."""
        self._measured.add(state.images_seen, measured)
        self._boards.metrics(state.images_seen, measured)
        self._measuring = False
        self._facts = self._look(state)

    def flush(self) -> None:
        """Put everything on the disk that belongs before a save."""
        self._boards.flush()

    def _write_stats(self, state: TrainingState) -> None:
        window = state.window
        values = {
            "images_seen": state.images_seen,
            "sec_per_kimg": round(1000 * window.seconds / window.images, 3),
            "seconds": round(state.seconds, 3),
            "g_lr": _rate(state.g_optimizer),
            "d_lr": _rate(state.d_optimizer),
            **{f"memory/{name}": size for name, size in memory_in_use(self.device).items()},
            **window.means(),
        }
        append_json_line(self.folder.stats, values)
        self._boards.stats(state.images_seen, values)
        state.window = type(window)()

    def _look(self, state: TrainingState) -> Facts:
        recipe, seen, total = state.recipe, state.images_seen, state.recipe.train.total
        until = {"to the end": self._pace.seconds_until(seen, total, through=True)}
        for name, every in (("next save", recipe.run.snapshot), ("next metric", recipe.evaluate.every)):
            if every:
                until[name] = self._pace.seconds_until(seen, min((seen // every + 1) * every, total))
        return Facts(
            run=str(self.folder.path),
            images_seen=seen,
            total=total,
            seconds_per_image=self._pace.seconds_per_image(),
            until=until,
            scalars=reported_scalars(recipe),
            means=self._recent.means(),
            steps=self._recent.steps,
            rates=(_rate(state.g_optimizer), _rate(state.d_optimizer)),
            trained=state.seconds,
            session=time.monotonic() - self._started,
            metrics=self._measured.words(),
            notes=self._notes(recipe),
            doing="measuring" if self._measuring else "",
            ahead=self._pace.seconds_ahead(),
        )

    def _notes(self, recipe: Recipe) -> dict[str, str]:
        notes = {}
        if self.processes > 1:
            notes["processes"] = str(self.processes)
        if choose_precision(recipe.run.precision, self.device) == torch.bfloat16:
            notes["precision"] = "bf16"
        return notes

    def _view(self) -> LiveView | str:
        return LiveView(self._facts, memory_of(self.device)) if self._facts else ""


def reported_scalars(recipe: Recipe) -> tuple[str, ...]:
    """What the steps of a recipe report, in the order of the live view."""
    loss = recipe.loss
    wanted = {
        "loss/d": True,
        "loss/g": True,
        "loss/r1": loss.r1_gamma > 0,
        "loss/bcr": loss.bcr_real > 0 or loss.bcr_fake > 0,
        "loss/tv": loss.tv > 0,
        "d/real_accuracy": True,
        "d/fake_accuracy": True,
        "grad/d": True,
        "grad/g": True,
    }
    return tuple(name for name, reported in wanted.items() if reported)


def memory_in_use(device: torch.device) -> dict[str, int]:
    """Bytes: this process's memory, and the most that PyTorch has held on a GPU since the start."""
    used = {"cpu": int(psutil.Process().memory_info().rss)}
    if device.type == "cuda":
        used["gpu"] = int(torch.cuda.max_memory_reserved(device))
    return used


def memory_of(device: torch.device) -> dict[str, Memory]:
    """The same for people, the GPU's beside all that it has."""
    memory = {name: Memory(used) for name, used in memory_in_use(device).items()}
    if device.type == "cuda":
        memory["gpu"] = Memory(memory["gpu"].used, torch.cuda.get_device_properties(device).total_memory)
    return memory


def announcement(state: TrainingState, images: int, device: torch.device) -> list[str]:
    """What is about to happen, before the first step."""
    recipe = state.recipe
    sizes = {name: sum(p.numel() for p in getattr(state, name).parameters()) for name in ("generator", "discriminator")}
    return [
        f"G has {sizes['generator']:,} parameters, D {sizes['discriminator']:,}, at {recipe.model.size} px on {device}",
        f"{images:,} training images; {format_count(recipe.train.total)} to be shown, {recipe.train.batch} a step",
    ]


def _pauses(recipe: Recipe) -> dict[str, int]:
    pauses = {
        "samples": recipe.run.samples,
        "power": recipe.ema.power_every if recipe.ema.power else 0,
        "save": recipe.run.snapshot,
        "measure": recipe.evaluate.every,
    }
    return {name: every for name, every in pauses.items() if every}


def _rate(optimizer: torch.optim.Optimizer) -> float:
    rate: float = optimizer.param_groups[0]["lr"]
    return rate
