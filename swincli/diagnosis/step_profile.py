"""Profile a few real training steps of a recipe: time of every phase, and peak memory.

Warm-up steps grow from one image to the largest affordable size. Then some steps of that size are measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from swincli.console import PLAIN_SECONDS, Console
from swincli.diagnosis.peak_memory import PeakMemory
from swincli.diagnosis.step_size import SizeMeasurement, StepSize, candidate_sizes, next_size
from swincli.diagnosis.synthetic_training import Seconds, SyntheticTraining
from swincli.errors import ResourceError
from swincli.recipe import Recipe
from swincli.system.resources import available_memory
from swincli.training.run.out_of_memory import is_out_of_memory, memory_hint, out_of_memory_error
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.cuda_graphs import RUNS_TO_CAPTURE
from swincli.units import format_duration, format_items

MEASURING_SECONDS = 40.0  # for all measured steps together
MOST_STEPS = 10
QUICK_STEP = 10.0  # seconds; a quicker step gets a second warm-up, because the first steps take longer
CPU_MEMORY_SHARE = 0.9  # of a CPU's free memory that a step may be predicted to fill; above, the system may kill us


@dataclass(frozen=True)
class StepProfile:
    """Time and memory of the measured steps.

    Attributes:
        measurement: Size, time and memory of a step that runs every phase.
        before: Bytes in use before the networks were built.
        steps: Number of measured steps.
        seconds: Median time of every phase and of the EMA update, by name.
        intervals: Steps from one run of a phase to the next, by name.
        too_large: Sizes that did not fit into memory.
        compile_seconds: Time of the first compiled step; None without run.compile.
    """

    measurement: SizeMeasurement
    before: int
    steps: int
    seconds: Seconds
    intervals: dict[str, int]
    too_large: tuple[StepSize, ...] = ()
    compile_seconds: float | None = None


def profile_steps(recipe: Recipe, device: torch.device, console: Console, steps: int | None = None) -> StepProfile:
    """Run and measure training steps of a recipe on synthetic images.

    A step of one image predicts the time of larger steps, which limits the size. On a CPU free memory limits it too. On
    a GPU running out of memory does no harm, so larger sizes are simply tried.

    Args:
        recipe: Recipe to run.
        device: Device of the networks.
        console: Shows what is being measured.
        steps: Number of measured steps; None for as many as take 40 seconds, from 1 to 10.

    Raises:
        ResourceError: one image does not fit into memory, or the machine does not support a key of [run].
        RecipeError: the batch cannot be split into micro-batches.
    """
    sizes = candidate_sizes(split_batch(recipe, 1))
    as_it_is = {"compile": False, "cuda_graphs": False}
    eager = recipe.model_copy(update={"run": recipe.run.model_copy(update=as_it_is)})
    console.say(f"measuring steps on {device} with images of noise")
    try:
        training, measured, before, too_large = _find_size(eager, device, console, sizes)
        compile_seconds = None
        captures = recipe.run.cuda_graphs and device.type == "cuda"
        if recipe.run.compile or captures:
            training.clear()
            training = SyntheticTraining(recipe, device)
        if recipe.run.compile:
            console.say("compiling, which can take many minutes")
            compile_seconds = _compile(training, measured.size, console)
        for _ in range(RUNS_TO_CAPTURE if captures else 0):
            _warm_up(training, measured.size, console)
        count = steps or max(1, min(MOST_STEPS, int(MEASURING_SECONDS / measured.seconds)))
        expected = format_duration(count * measured.seconds)
        console.say(f"measuring {format_items(count, 'step')} of {measured.size}, about {expected}")
        with PeakMemory(device) as peak:
            taken = [
                _step(training, measured.size, console, f"step {number + 1} of {count}") for number in range(count)
            ]
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise step_memory_error(error, recipe, device, sizes[0], fitting=0) from error
        raise
    medians = {name: statistics.median(seconds[name] for seconds in taken) for name in taken[0]}
    measured = SizeMeasurement(measured.size, sum(medians.values()), measured.fixed_bytes, peak.bytes)
    intervals = {phase.name: phase.interval for phase in training.phases}
    return StepProfile(measured, before, count, medians, intervals, tuple(too_large), compile_seconds)


def step_memory_error(
    error: BaseException, recipe: Recipe, device: torch.device, size: StepSize, fitting: int
) -> ResourceError:
    """The error for a step that did not fit into memory.

    Args:
        error: PyTorch's error.
        recipe: Recipe of the step.
        device: Device of the networks.
        size: Size of the step.
        fitting: Images of the largest micro-batch that did fit; 0 for none.
    """
    images = split_batch(recipe, 1).micro_batch_size
    said = out_of_memory_error(error, recipe, device, size.micro_batch_size)
    return ResourceError(said.message, memory_hint(recipe, device, images, at_most=fitting))


def _compile(training: SyntheticTraining, size: StepSize, console: Console) -> float:
    """Run the first step, in which the networks are compiled; returns its seconds.

    Raises:
        ResourceError: compiling failed, or ran out of memory.
    """
    try:
        return _warm_up(training, size, console)
    except RuntimeError as error:  # the compilers' errors are subclasses
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().split("\n", 1)[0]
        raise ResourceError(f"run.compile: compiling failed: {reason}", "Set run.compile=false.") from error


def _find_size(
    recipe: Recipe, device: torch.device, console: Console, sizes: list[StepSize]
) -> tuple[SyntheticTraining, SizeMeasurement, int, list[StepSize]]:
    """Run steps of growing size, up to the largest affordable one.

    Returns:
        The training that has just run that size, its measurement, bytes in use before, and sizes that did not fit.

    Raises:
        RuntimeError: PyTorch's, for example if the smallest size does not fit into memory.
    """
    free = available_memory()
    with PeakMemory(device) as peak:
        limit = peak.before + int(CPU_MEMORY_SHARE * free) if device.type == "cpu" else None
        training = SyntheticTraining(recipe, device)
        fixed = peak.before + training.fixed_bytes()
        measured = SizeMeasurement(sizes[0], _warm_up(training, sizes[0], console), fixed, peak.bytes)
        too_large: list[StepSize] = []
        while size := next_size(measured, sizes, too_large, limit):
            seconds = _warm_up_if_it_fits(training, size, console)
            if seconds is None:
                too_large.append(size)
            else:
                measured = SizeMeasurement(size, seconds, fixed, peak.bytes)
    if too_large or measured.seconds < QUICK_STEP:
        measured = replace(measured, seconds=_warm_up(training, measured.size, console))
    return training, measured, peak.before, too_large


def _warm_up_if_it_fits(training: SyntheticTraining, size: StepSize, console: Console) -> float | None:
    """Seconds of a warm-up step; None if it runs out of memory."""
    try:
        return _warm_up(training, size, console)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    console.say(f"{size} did not fit into memory")
    training.clear()  # outside the except block, because the error keeps the step's tensors alive
    return None


def _warm_up(training: SyntheticTraining, size: StepSize, console: Console) -> float:
    return sum(_step(training, size, console, f"warming up with {size}").values())


def _step(training: SyntheticTraining, size: StepSize, console: Console, title: str) -> Seconds:
    with _show_phase(console, title) as on_phase:
        return training.step(size, on_phase)


@contextmanager
def _show_phase(console: Console, title: str) -> Iterator[Callable[[str], None]]:
    """Show the running phase: in place on a terminal, otherwise one line every 15 seconds."""
    if console.live:
        with console.stderr.status(title) as status:
            yield lambda phase: status.update(f"{title}: {phase}")
        return
    last = time.monotonic()

    def on_phase(phase: str) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_SECONDS:
            last = time.monotonic()
            console.say(f"{title}: {phase}")

    yield on_phase
