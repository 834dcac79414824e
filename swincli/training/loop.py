"""The training loop: `train` opens or resumes a run, starts it, and steps until `train.total` images."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import DataError, ResourceError, UsageError
from swincli.recipe import Recipe
from swincli.recipe.idle import idle_settings
from swincli.system.distributed import Processes, explain_lost_peer
from swincli.training.ema.snapshots import save_power_snapshots
from swincli.training.in_training_metrics import InTrainingMetrics
from swincli.training.logging.report import Report, describe_start, live_report
from swincli.training.logging.sample_grids import save_reals, save_samples
from swincli.training.logging.trackers import check_trackers
from swincli.training.losses.batch import Batch
from swincli.training.preflight import check_data, check_disk, smoke_test_step
from swincli.training.run.environment import note_environment
from swincli.training.run.finite_checks import check_weights
from swincli.training.run.folder import RunFolder
from swincli.training.run.lock import RunLock, locked_run
from swincli.training.run.out_of_memory import is_out_of_memory, out_of_memory_error
from swincli.training.run.same_run import check_new_run, check_same_run
from swincli.training.run.shared_state import share_state
from swincli.training.run.side_tasks import SideTasks, side_tasks
from swincli.training.run.signals import StopRequest, catch_stop_signals
from swincli.training.run.state import TrainingState, build_state, restore
from swincli.training.run.stop_file import listen_for_stop
from swincli.training.run_step import run_all, run_step
from swincli.training.schedules import crossed
from swincli.training.step.batch_shards import BatchSplit, split_batch
from swincli.training.step.batches import next_micro_batches
from swincli.training.step.engine import explain_compiler, start_engine
from swincli.training.step.held_out import HeldOutLogits, open_held_out
from swincli.training.step.labels import training_attributes, training_classes
from swincli.training.step.phases import Phase, make_phases, make_setting
from swincli.training.step.prefetch import open_loader
from swincli.training.step_reports import StepReports, reads_late
from swincli.training.transfer.init_from import init_from_checkpoint
from swincli.training.transfer.penalty_sources import prepare_penalties, report_changed_models
from swincli.units import format_duration


@dataclass(frozen=True)
class TrainResult:
    """Where a training session ended.

    Attributes:
        run: The run folder.
        images_seen: Images shown so far.
        model: The last model.
        finished: Whether `train.total` was reached.
        reason: Why it stopped before, such as "interrupted"; None if it finished.
    """

    run: Path
    images_seen: int
    model: Path
    finished: bool
    reason: str | None = None


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
    """Train until `train.total` images, from the state in `out` if there is one.

    Args:
        recipe: The experiment.
        store: Training images of size `model.size`.
        out: Run folder; only rank 0 reads and writes it.
        device: Device of this rank's networks.
        console: Messages of the run; quiet on all ranks but 0.
        resume: Continue an existing run; if false, an existing run is an error.
        max_time: Time limit in seconds from the start of this process; the run is saved before it.
        processes: The ranks that share the batch; one process by default.

    Raises:
        SwincliError: data, disk, memory, an existing run, another session in it, or a loss or gradient that is not
            finite.
    """
    processes = processes or Processes()
    split = split_batch(recipe, processes.world_size)
    check_data(recipe, store)
    held_out = open_held_out(recipe, store)
    with locked_run(out, processes) as lock:
        return _train(
            recipe, store, held_out, lock, device, console, processes, split, resume=resume, max_time=max_time
        )


def _train(
    recipe: Recipe,
    store: Store,
    held_out_store: Store | None,
    lock: RunLock,
    device: torch.device,
    console: Console,
    processes: Processes,
    split: BatchSplit,
    *,
    resume: bool,
    max_time: float | None,
) -> TrainResult:
    """`train`, in the run folder that `lock` keeps other sessions out of."""
    folder = RunFolder(lock.folder)
    with explain_torch_errors(recipe, device, split, processes):
        state = open_run(folder, recipe, store, device, console, processes, resume=resume)
        engine = start_engine(recipe.run, state.generator, state.discriminator, device, processes)
        phases = make_phases(
            state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe, engine, state.memory
        )
        setting = make_setting(state.generator, state.discriminator, recipe, engine, state.memory)
        held_out = HeldOutLogits(held_out_store, store, setting, split, processes.rank)
    with (
        side_tasks(folder, state, console, processes) as tasks,
        explain_errors(folder, recipe, device, split, processes),
        catch_stop_signals(console, max_time) as stop,
        listen_for_stop(lock, stop) if processes.is_main else contextlib.nullcontext(),
        open_loader(recipe, store, split, processes.rank, device) as loader,
    ):

        def micro_batches(*, every_phase: bool = False) -> list[Batch]:
            seen, p = state.images_seen, setting.probability(state.images_seen)
            return next_micro_batches(
                recipe, store, seen, split, processes.rank, device, loader, p, every_phase=every_phase
            )

        metrics = InTrainingMetrics(folder, state, store, console, processes) if recipe.evaluate.every else None
        if processes.is_main:
            for line in describe_start(state, len(store), device):
                console.say(line)
            for warning in idle_settings(recipe):
                console.warn(warning)
        processes.from_main(lambda: tasks.begin(stop) if tasks else None)
        start_run(folder, state, store, phases, micro_batches, stop, console, processes, timed=max_time is not None)
        with live_report(folder, state, device, console, processes) as report:
            measure_if_due(state, folder, report, metrics, stop, tasks)
            late = reads_late(device)
            reports = StepReports(state, folder, report, processes, late=late)
            while state.images_seen < recipe.train.total:
                started = time.monotonic()
                with stop.timing("step"):
                    step = run_step(state, phases, micro_batches())
                    step.note(held_out.measure_if_due(state.images_seen))
                    reports.queue(step, started)
                stopping = processes.any_rank(stop.poll(2 if late else 1))
                if stopping:
                    stop.ask("another process was asked to stop")
                done = stopping or state.images_seen >= recipe.train.total
                if done or is_output_due(state) or reports.is_due:
                    reports.settle()
                if done or is_save_due(state):
                    check_weights(state, folder, processes)
                if done or is_output_due(state):
                    with stop.timing("save"):
                        processes.from_main(partial(write_outputs, state, folder, report, tasks, done=done))
                measure_if_due(state, folder, report, metrics, stop, tasks)
                if done:
                    break
    return end_run(folder, state, stop, console, processes)


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
    """The state to train from, the same on all ranks: the run's newest undamaged one, or a new one.

    Raises:
        UsageError: there is a run, and `resume` is false.
        RecipeError: the existing run is another experiment.
        TrainingError: the folder holds files of others, or models whose states were removed.
    """
    state = build_state(recipe, store.content_hash, device)
    state.classes = training_classes(recipe.model.classes, store)
    state.attributes = training_attributes(recipe.model, store)

    def on_main() -> bool:
        """Open the run; whether the state is still the one that was built."""
        check_trackers(recipe)
        found = folder.newest_state(console)
        if found and not resume:
            raise UsageError(f"{folder.path}: there is a run already, and --resume is never", "Give another --out.")
        if found:
            path, content = found
            check_same_run(content, path, recipe, store.content_hash, console)
            restore(state, content)
            console.say(f"going on from {path}")
            report_changed_models(state, console)
        else:
            check_new_run(folder.path, recipe)
        if not found and recipe.train.init is not None:
            init_from_checkpoint(state, recipe.train.init, console)
            prepare_penalties(state, store, console)
        folder.prepare(recipe)
        folder.rewind(state.images_seen, recipe, console)
        note_environment(folder.environment, device, processes.world_size, console)
        return not found and recipe.train.init is None

    fresh = processes.from_main(on_main)
    share_state(state, device, processes, fresh=fresh)
    return state


def start_run(
    folder: RunFolder,
    state: TrainingState,
    store: Store,
    phases: list[Phase],
    micro_batches: Callable[..., list[Batch]],
    stop: StopRequest,
    console: Console,
    processes: Processes,
    *,
    timed: bool,
) -> None:
    """Check the disk; for a new run, smoke-test a step and write the first files.

    Args:
        folder, state, store: The run, its state and its images.
        phases: All phases of a step.
        micro_batches: The data of the next step; with `every_phase=True` for phases that are not due, too.
        stop: Records how long a save takes.
        console: Where warnings go.
        processes: The ranks that share the batch.
        timed: There is a time limit, so the duration of a save must be known before the first step.

    Raises:
        SwincliError: the first step or its files fail.
    """
    processes.from_main(lambda: check_disk(folder, state, console))
    is_new = not processes.from_main(folder.is_started)
    if is_new:
        smoke_test_step(folder, state, lambda: run_all(phases, micro_batches(every_phase=True)), processes)

    def write_first_files() -> None:
        save_samples(folder, state)
        if timed:
            folder.save(state)

    if is_new or timed:
        with stop.timing("save"):
            processes.from_main(write_first_files)
    if is_new:
        processes.from_main(lambda: save_reals(folder, state.recipe, store))


def write_outputs(
    state: TrainingState, folder: RunFolder, report: Report | None, tasks: SideTasks | None, *, done: bool
) -> None:
    """After a step: write the sample grid, statistics, power-function EMAs, model and state, each if due.

    If `done`, all of them. Only rank 0 does it, and has a report and side tasks.
    """
    assert report is not None
    assert tasks is not None
    recipe, seen, batch = state.recipe, state.images_seen, state.recipe.train.batch
    if done or crossed(seen, batch, recipe.run.samples):
        report.sample_grid(state, save_samples(folder, state))
    report.write_stats(state)
    if done or crossed(seen, batch, recipe.ema.power_every):
        save_power_snapshots(folder, state)
    if done or is_save_due(state):
        report.flush()
        folder.save(state)
        tasks.saved()


def is_output_due(state: TrainingState) -> bool:
    """Whether the step that has just ended crossed anything that rank 0 writes alone, while the others wait."""
    recipe = state.recipe
    intervals = (recipe.run.samples, recipe.run.log, recipe.ema.power_every)
    return is_save_due(state) or any(crossed(state.images_seen, recipe.train.batch, every) for every in intervals)


def is_save_due(state: TrainingState) -> bool:
    """Whether the step that has just ended crossed a save. A measured model needs its state: it may be the best one."""
    recipe, intervals = state.recipe, (state.recipe.run.snapshot, state.recipe.evaluate.every)
    return any(every and crossed(state.images_seen, recipe.train.batch, every) for every in intervals)


def measure_if_due(
    state: TrainingState,
    folder: RunFolder,
    report: Report | None,
    metrics: InTrainingMetrics | None,
    stop: StopRequest,
    tasks: SideTasks | None,
) -> None:
    """Measure the saved state of this moment, if it is due and metrics.jsonl does not have it yet.

    All ranks measure together. Rank 0 then prunes states, keeping that of the best model.
    """
    if metrics is not None and metrics.is_missing(state.images_seen):
        values = metrics.measure(state, stop.poll)
        if report and values:
            report.metrics(state, values)
        if report:
            folder.prune_states(state.recipe)
        if tasks and values:
            tasks.measured()


def end_run(
    folder: RunFolder, state: TrainingState, stop: StopRequest, console: Console, processes: Processes
) -> TrainResult:
    """Print how the session ended, and the best model."""
    recipe, seen, total = state.recipe, state.images_seen, state.recipe.train.total
    finished = seen >= total
    if not finished:
        console.say(f"{stop.reason}: stopped at {seen:,} of {total:,} images; everything is saved in {folder.path}")
        console.say("run the same command to go on")
    elif state.seconds:
        console.say(f"trained on {seen:,} images in {format_duration(state.seconds)}")
    if processes.is_main and (best := folder.best(recipe)):
        console.say(f"best {recipe.evaluate.metrics[0]}: {best[1]:.4g}, {folder.model(best[0])}")
    return TrainResult(folder.path, seen, folder.model(seen), finished, None if finished else stop.reason)


@contextlib.contextmanager
def explain_torch_errors(
    recipe: Recipe, device: torch.device, split: BatchSplit, processes: Processes
) -> Iterator[None]:
    """Turn PyTorch's errors about memory, the compiler and lost peers into errors with a hint.

    Raises:
        ResourceError: out of memory, compiling failed, or another rank was lost.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory_error(error, recipe, device, split.micro_batch_size, processes.world_size) from error
        explain_compiler(error)
        explain_lost_peer(error, processes)
        raise


@contextlib.contextmanager
def explain_errors(
    folder: RunFolder, recipe: Recipe, device: torch.device, split: BatchSplit, processes: Processes
) -> Iterator[None]:
    """`explain_torch_errors`; rank 0 adds the last saved state to the hint.

    Raises:
        ResourceError: out of memory, or another rank was lost.
        SwincliError: an error of disk or data in the block.
    """
    try:
        with explain_torch_errors(recipe, device, split, processes):
            yield
    except (DataError, ResourceError, OSError) as error:
        if not processes.is_main:
            raise
        explained = folder.hint_last_state(error)
        raise explained from (error.__cause__ if explained is error else error)
