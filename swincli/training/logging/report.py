"""Reporting of a run: live view or plain lines, stats.jsonl, and trackers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psutil
import torch
from rich.live import Live

from swincli.console import PLAIN_SECONDS, Console
from swincli.model.blocks.attention import describe_attention
from swincli.recipe import Recipe
from swincli.recipe.schema import RunSection
from swincli.system.atomic_files import append_json_line
from swincli.system.cache import compiled_code_folder
from swincli.system.device_facts import (
    IDLE_HINT,
    DeviceFacts,
    build_mismatch,
    describe_precision,
    device_facts,
    idle_units,
)
from swincli.system.distributed import Processes
from swincli.system.runtime import choose_precision
from swincli.training.logging.eta import EtaEstimator
from swincli.training.logging.live_view import LiveView, MemoryUse, RunStatus, reported_scalars, status_line
from swincli.training.logging.metric_history import MetricHistory, read_metric_history
from swincli.training.logging.trackers import Trackers, open_trackers
from swincli.training.run.folder import RunFolder
from swincli.training.run.overfitting import DIVERSITY
from swincli.training.run.running_stats import RecentMeans, RunningStats
from swincli.training.run.state import TrainingState
from swincli.training.schedules import crossed
from swincli.units import format_count

STATUS_SECONDS = 0.2  # least time between two updates of the live view's status


class Report:
    """Reports a run to its console, its logs and its trackers; only rank 0 has one.

    Args:
        console: Where the live view or the lines are printed.
        folder: The run folder.
        device: Device of the networks.
        processes: Number of ranks.
    """

    def __init__(self, console: Console, folder: RunFolder, device: torch.device, processes: int = 1) -> None:
        self.console, self.folder, self.device, self.processes = console, folder, device, processes
        self._recent = RecentMeans()
        self._history = MetricHistory()
        self._trackers = Trackers(console)
        self._started = self._last_line = time.monotonic()
        self._measuring = False
        self._diversity: float | None = None
        self._status: RunStatus | None = None

    @contextmanager
    def live(self, state: TrainingState) -> Iterator[None]:
        """Open the trackers, and the live view if stderr is a terminal; close them at the end of the block.

        Raises:
            ResourceError: a tracker of the recipe is not available.
        """
        recipe = state.recipe
        self._eta = EtaEstimator(recipe.train.batch, _pauses(recipe))
        self._history = read_metric_history(self.folder.metrics, recipe.evaluate.num)
        self._trackers = open_trackers(recipe, self.folder, state.images_seen, self.console)
        self._started = self._last_line = time.monotonic()
        self._status = self._status_of(state)
        try:
            if not self.console.live:
                yield
                return
            with Live(console=self.console.stderr, refresh_per_second=2, get_renderable=self._view):
                yield
                self._status = self._status_of(state)
        finally:
            self._trackers.close()

    def step(self, state: TrainingState, scalars: dict[str, float], seconds: float, images_seen: int) -> None:
        """Add one step.

        Args:
            state: The state after the step, or after the next one.
            scalars: The scalars that its phases report.
            seconds: Duration of the step.
            images_seen: Images shown so far, those of the step included.
        """
        train = state.recipe.train
        state.running_stats.add(scalars, train.batch, seconds)
        state.seconds += seconds
        self._recent.add(scalars)
        self._eta.step(images_seen, seconds)
        self._measuring = "measure" in self._eta.due
        now = time.monotonic()
        if self.console.live:
            if self._status is None or now - self._status.at >= STATUS_SECONDS or self._eta.due:
                self._status = self._status_of(state)
        elif now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            self.console.say(status_line(self._status_of(state), memory_for_display(self.device)))

    def write_stats(self, state: TrainingState) -> None:
        """Write a line of stats.jsonl if it is due after the last step, and warn of new signs of overfitting."""
        train = state.recipe.train
        if crossed(state.images_seen, train.batch, state.recipe.run.log) or state.images_seen >= train.total:
            self._write_stats(state)

    def sample_grid(self, state: TrainingState, diversity: float) -> None:
        """Send the sample grid of this moment to the trackers, and note its diversity for the next line of statistics.

        Called before `write_stats`.
        """
        state.running_stats.note({DIVERSITY: diversity})
        self._diversity = diversity
        self._trackers.image(state.images_seen, "samples", self.folder.samples(state.images_seen))

    def metrics(self, state: TrainingState, measured: dict[str, float]) -> None:
        """Show the metrics of this moment, and send them to the trackers."""
        self._history.add(state.images_seen, measured)
        self._trackers.metrics(state.images_seen, measured)
        self._measuring = False
        self._status = self._status_of(state)

    def flush(self) -> None:
        """Flush the trackers; called before a save."""
        self._trackers.flush()

    def _write_stats(self, state: TrainingState) -> None:
        stats = state.running_stats
        values = {
            "images_seen": state.images_seen,
            "sec_per_kimg": round(1000 * stats.seconds / stats.images, 3),
            "seconds": round(state.seconds, 3),
            "g_lr": _rate(state.g_optimizer),
            "d_lr": _rate(state.d_optimizer),
            **{f"memory/{name}": size for name, size in memory_in_use(self.device).items()},
            **stats.means(),
        }
        time_now = datetime.now(UTC).isoformat(timespec="seconds")
        append_json_line(self.folder.stats, {**values, "time": time_now})
        self._trackers.stats(state.images_seen, values)
        for warning in state.signs.add(stats.means(), state.images_seen, state.recipe):
            self.console.warn(warning)
        state.running_stats = RunningStats()

    def _status_of(self, state: TrainingState) -> RunStatus:
        recipe, seen, total = state.recipe, state.images_seen, state.recipe.train.total
        until = {"to the end": self._eta.seconds_until(seen, total, through=True)}
        for name, every in (("next save", recipe.run.snapshot), ("next metric", recipe.evaluate.every)):
            if every:
                until[name] = self._eta.seconds_until(seen, min((seen // every + 1) * every, total))
        return RunStatus(
            run=str(self.folder.path),
            images_seen=seen,
            total=total,
            seconds_per_image=self._eta.seconds_per_image(),
            until=until,
            scalars=reported_scalars(recipe),
            means=self._recent.means(),
            steps=self._recent.steps,
            rates=(_rate(state.g_optimizer), _rate(state.d_optimizer)),
            trained=state.seconds,
            session=time.monotonic() - self._started,
            metrics=self._history.words(),
            notes=self._notes(recipe),
            doing="measuring" if self._measuring else "",
            ahead=self._eta.seconds_ahead(),
        )

    def _notes(self, recipe: Recipe) -> dict[str, str]:
        notes = {}
        if self._diversity is not None:
            notes["diversity"] = f"{self._diversity:.3f}"
        if self.processes > 1:
            notes["processes"] = str(self.processes)
        if choose_precision(recipe.run.precision, self.device) == torch.bfloat16:
            notes["precision"] = "bf16"
        return notes

    def _view(self) -> LiveView | str:
        return LiveView(self._status, memory_for_display(self.device)) if self._status else ""


@contextmanager
def live_report(
    folder: RunFolder, state: TrainingState, device: torch.device, console: Console, processes: Processes
) -> Iterator[Report | None]:
    """Report a run while the block runs: a `Report` on rank 0, None on the other ranks.

    Raises:
        ResourceError: a tracker of the recipe is not available.
    """
    if not processes.is_main:
        yield None
        return
    report = Report(console, folder, device, processes.world_size)
    with report.live(state):
        yield report


def memory_in_use(device: torch.device) -> dict[str, int]:
    """Bytes: resident memory of this process, and the peak that PyTorch has reserved on a GPU since the start."""
    used = {"cpu": int(psutil.Process().memory_info().rss)}
    if device.type == "cuda":
        used["gpu"] = int(torch.cuda.max_memory_reserved(device))
    return used


def memory_for_display(device: torch.device) -> dict[str, MemoryUse]:
    """The same for the live view, with the total memory of a GPU."""
    memory = {name: MemoryUse(used) for name, used in memory_in_use(device).items()}
    if device.type == "cuda":
        memory["gpu"] = MemoryUse(memory["gpu"].used, torch.cuda.get_device_properties(device).total_memory)
    return memory


def describe_start(state: TrainingState, images: int, device: torch.device) -> list[str]:
    """The lines before the first step: network sizes, images, length of the run, precision, attention, compilation."""
    recipe = state.recipe
    attention = describe_attention(recipe.model, device, choose_precision(recipe.run.precision, device))
    sizes = {name: sum(p.numel() for p in getattr(state, name).parameters()) for name in ("generator", "discriminator")}
    lines = [
        f"G has {sizes['generator']:,} parameters, D {sizes['discriminator']:,}, at {recipe.model.size} px on {device}",
        f"{images:,} training images; {format_count(recipe.train.total)} to be shown, {recipe.train.batch} per step",
        *describe_device(recipe.run, device_facts(device)),
        *([attention] if attention else []),
    ]
    if recipe.run.compile:
        folder = compiled_code_folder()
        where = f"; the code is kept in {folder} for the next run" if folder else ""
        lines.append(f"run.compile: compiling comes first, which can take many minutes{where}")
    if recipe.run.cuda_graphs and device.type == "cuda":
        lines.append("run.cuda_graphs: each phase is captured after a few runs, and then launched as a whole")
    return lines


def describe_device(run: RunSection, facts: DeviceFacts) -> list[str]:
    """In which precision a run computes on a device, what of a GPU is idle, and whether PyTorch has code for it."""
    lines = [f"{facts.title} computes in {describe_precision(run.precision, run.tf32, facts)}"]
    if idle := idle_units(run.precision, run.tf32, facts):
        lines += [idle, IDLE_HINT]
    return [*lines, *(build_mismatch(facts) or ())]


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
