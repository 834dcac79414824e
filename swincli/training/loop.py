"""The training loop: one function that reads from top to bottom."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import PeerFailedError, TrainingError, UsageError
from swincli.recipe import Recipe
from swincli.system.distributed import Processes, explain_lost_peer
from swincli.training.ema.ema import move_averages
from swincli.training.ema.snapshots import save_power_snapshots
from swincli.training.in_training_metrics import Measuring, start_measuring
from swincli.training.logging.report import Report, announcement, crossed
from swincli.training.logging.sample_grids import save_reals, save_samples
from swincli.training.logging.trackers import check_boards
from swincli.training.preflight import check_data, check_disk, rehearse
from swincli.training.run.folder import RunFolder, check_same_run
from swincli.training.run.out_of_memory import is_out_of_memory, out_of_memory
from swincli.training.run.signals import Stop, stop_when_asked
from swincli.training.run.state import TrainingState, build_state, from_bytes, restore, to_bytes
from swincli.training.step.batch_shards import BatchSplit, split_batch
from swincli.training.step.batches import next_passes
from swincli.training.step.engine import start_engine
from swincli.training.step.labels import training_classes
from swincli.training.step.losses import Batch
from swincli.training.step.phases import Phase, make_phases
from swincli.training.step.prefetch import open_feed
from swincli.training.step.schedules import lr_scale
from swincli.training.transfer.init_from import initialise
from swincli.units import format_duration


@dataclass(frozen=True)
class TrainResult:
    """Where a session of training ended."""

    run: Path
    images_seen: int
    model: Path
    finished: bool


def train(
    recipe: Recipe,
    store: Store,
    out: Path,
    device: torch.device,
    console: Console,
    *,
    resume: bool,
    max_time: float | None = None,
    processes: Processes | None = None,
) -> TrainResult:
    """Train until `train.total` images, or go on with what lies in `out`.

    Args:
        recipe: The experiment.
        store: Training images of the recipe's size.
        out: Run folder; only the leading process touches it.
        device: Where the networks of this process live.
        console: Where the run reports; quiet in all processes but the leading one.
        resume: Go on with a run that is there; without it, one that is there is an error.
        max_time: Seconds, from the start of this process, by which to have stopped and saved.
        processes: Those that share the batch; this one alone by default.

    Raises:
        SwincliError: data, disk, memory, an existing run, or numbers that are no longer finite.
    """
    processes = processes or Processes()
    shares = split_batch(recipe, processes.world_size)
    check_data(recipe, store)
    folder = RunFolder(out)
    state = open_run(folder, recipe, store, device, console, processes, resume=resume)
    engine = start_engine(recipe.run, state.generator, state.discriminator, device, processes)
    phases = make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe, engine)

    def passes() -> list[Batch]:
        return next_passes(recipe, store, state.images_seen, shares, processes.rank, device, feed)

    with (
        folder.telling_last_state() if processes.is_main else contextlib.nullcontext(),
        explaining(recipe, device, shares, processes),
        stop_when_asked(console, max_time) as stop,
        open_feed(recipe, store, shares, processes.rank, device) as feed,
    ):
        report = Report(console, folder, device, processes.world_size) if processes.is_main else None
        measuring = start_measuring(folder, state, store, console, processes)
        if report:
            for line in announcement(state, len(store), device):
                console.say(line)
        processes.from_main(lambda: check_disk(folder, state, console))
        # The reals are the last file of a run's start: where they are missing, a kill cut it short.
        starting = processes.from_main(lambda: not folder.states() or not folder.reals.exists())
        if starting:
            rehearse(folder, state, lambda: [phase.run(passes()) for phase in phases], processes)
        if processes.is_main and (starting or max_time is not None):
            with stop.timing("save"):  # a time limit has to know beforehand how long the last one will take
                save_samples(folder, state)
                if max_time is not None:
                    folder.save(state)
        if processes.is_main and starting:
            save_reals(folder, recipe, store)
        with report.following(state) if report else contextlib.nullcontext():
            measure_if_missing(state, folder, report, measuring, stop)
            while state.images_seen < recipe.train.total:
                started = time.monotonic()
                with stop.timing("step"):
                    scalars = run_step(state, phases, passes())
                agreed = processes.mean({**scalars, "stop": float(stop.reason is not None)})
                stopping = agreed.pop("stop") > 0
                if stopping:
                    stop.ask("another process was asked to stop")
                done = stopping or state.images_seen >= recipe.train.total
                check_finite(agreed, state, folder, processes)
                if report:
                    folder.check_there()
                    report.step(state, agreed, time.monotonic() - started)
                    with stop.timing("save"):
                        write_what_is_due(state, folder, report, done=done)
                measure_if_missing(state, folder, report, measuring, stop)
                if done:
                    break
    finished = state.images_seen >= recipe.train.total
    if not finished:
        seen, total = state.images_seen, recipe.train.total
        console.say(f"{stop.reason}: stopped at {seen:,} of {total:,} images; all of it lies in {out}")
        console.say("run the same command to go on")
    elif state.seconds:
        console.say(f"trained on {state.images_seen:,} images in {format_duration(state.seconds)}")
    if processes.is_main and (best := folder.best(recipe)):
        console.say(f"best {recipe.evaluate.metrics[0]}: {best[1]:.4g}, of {folder.model(best[0])}")
    return TrainResult(out, state.images_seen, folder.model(state.images_seen), finished)


def open_run(
    folder: RunFolder,
    recipe: Recipe,
    store: Store,
    device: torch.device,
    console: Console,
    processes: Processes,
    *,
    resume: bool,
) -> TrainingState:
    """The state to train from: the newest good one of the run, or a new one; the same in all processes.

    Raises:
        UsageError: there is a run, and it is not to be continued.
        RecipeError: the run there is another experiment.
    """
    state = build_state(recipe, store.content_hash, device)
    state.classes = training_classes(recipe.model.classes, store)

    def lead() -> None:
        check_boards(recipe)
        found = folder.newest_state(console)
        if found and not resume:
            raise UsageError(f"{folder.path}: holds a run already (--resume never)", "Give another --out.")
        if found:
            path, content = found
            check_same_run(content, path, recipe, store.content_hash, console)
            restore(state, content)
            console.say(f"going on from {path}")
        elif recipe.train.init is not None:
            initialise(state, recipe.train.init, console)
        folder.prepare(recipe)
        folder.rewind(state.images_seen, recipe)

    processes.from_main(lead)
    if processes.world_size > 1:
        data = processes.from_main(lambda: to_bytes(state))
        if not processes.is_main:
            restore(state, from_bytes(data))
    return state


def run_step(state: TrainingState, phases: list[Phase], passes: list[Batch]) -> dict[str, float]:
    """One step of everything: the rates, every phase that is due, the averages; returns what to report."""
    train, number = state.recipe.train, state.images_seen // state.recipe.train.batch
    scale = lr_scale(state.images_seen, train)
    for optimizer in (state.g_optimizer, state.d_optimizer):
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * scale
    scalars: dict[str, torch.Tensor] = {}
    for phase in phases:
        if number % phase.interval == 0:
            scalars |= phase.run(passes)
    state.images_seen += train.batch
    move_averages(state)
    values = torch.stack([value.detach().float() for value in scalars.values()]).tolist()
    return dict(zip(scalars, values, strict=True))


def write_what_is_due(state: TrainingState, folder: RunFolder, report: Report, *, done: bool) -> None:
    """After a step: the grid, and the state with all that belongs to it, where it is time for them; both if `done`."""
    recipe, seen, batch = state.recipe, state.images_seen, state.recipe.train.batch
    measured = recipe.evaluate.every and crossed(seen, batch, recipe.evaluate.every)  # a best state has to be there
    if done or crossed(seen, batch, recipe.run.samples):
        save_samples(folder, state)
        report.pictures(state)
    if done or crossed(seen, batch, recipe.ema.power_every):
        save_power_snapshots(folder, state)
    if done or measured or crossed(seen, batch, recipe.run.snapshot):
        report.flush()
        folder.save(state)


def measure_if_missing(
    state: TrainingState, folder: RunFolder, report: Report | None, measuring: Measuring | None, stop: Stop
) -> None:
    """Measure the state that has just been saved, or that the run goes on from, where that is due and was not done.

    All processes do it together; the leading one, which has a report, keeps the state that measured best.
    """
    if measuring is not None and measuring.missing(state.images_seen):
        values = measuring.measure(state, lambda: stop.reason is not None)
        if report and values:
            report.metric(state, values)
        if report:
            folder.prune(state.recipe)


# Where a number comes from; they stand in the order in which a step computes them, and what follows is an aftermath.
PHASE_OF = {"loss/d": "D", "loss/bcr": "D", "grad/d": "D", "loss/r1": "R1", "grad/r1": "R1"}


def check_finite(
    scalars: dict[str, float], state: TrainingState, folder: RunFolder, processes: Processes | None = None
) -> None:
    """Stop at the first loss or gradient that is no number; the state on the disk is from before it.

    Raises:
        TrainingError: there is one.
        PeerFailedError: the same, where another process leads.
    """
    broken = [name for name, value in scalars.items() if not math.isfinite(value)]
    if not broken:
        return
    if processes is not None and not processes.is_main:
        raise PeerFailedError(f"process {processes.rank}: {', '.join(broken)} not finite")
    states, phase = folder.states(), PHASE_OF.get(broken[0], "G")
    raise TrainingError(
        f"phase {phase}: {', '.join(broken)} not finite after {state.images_seen:,} images",
        f"The last good state is {states[0] if states else 'none'}; the same command would come to the same numbers. "
        "Start a new run with lower train.d_lr and train.g_lr, or a higher loss.r1_gamma.",
    )


@contextlib.contextmanager
def explaining(recipe: Recipe, device: torch.device, shares: BatchSplit, processes: Processes) -> Iterator[None]:
    """Say what to do where PyTorch's errors do not.

    Raises:
        ResourceError: memory ran out, or another process was lost.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(error, recipe, device, shares.micro_batch_size, processes.world_size) from error
        explain_lost_peer(error, processes)  # here, so that the last state is told as well
        raise
