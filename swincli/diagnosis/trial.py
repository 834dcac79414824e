"""A few real steps of a recipe: how long they take, and how much memory they hold.

Steps grow from one image on and do not count; then some of the largest that is affordable do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from swincli.console import PLAIN_SECONDS, Console
from swincli.diagnosis.bench import Bench, Seconds
from swincli.diagnosis.load import Known, Load, loads_of, next_load
from swincli.diagnosis.machine import available_memory
from swincli.diagnosis.peak import PeakMemory
from swincli.diagnosis.words import counted
from swincli.errors import ResourceError
from swincli.recipe import Recipe
from swincli.training.run.out_of_memory import is_out_of_memory, memory_hint, out_of_memory_error
from swincli.training.step.batch_shards import split_batch
from swincli.units import format_duration

MEASURING = 40.0  # seconds that the steps which count may take together
MOST_STEPS = 10
QUICK = 10.0  # seconds of a step that is worth another one to warm up: the first ones take longer
ROOM = 0.9  # share of a CPU's free memory that may be expected to be filled: beyond, the system ends the process


@dataclass(frozen=True)
class Trial:
    """What a few steps have shown.

    Attributes:
        known: Load, time and memory of a step that runs every phase.
        before: Bytes held before the networks were built.
        steps: How many of the steps count.
        seconds: Median time of every phase and of the averages, by name.
        intervals: Steps from one run of a phase to the next, by name.
        refused: Loads that did not fit into memory.
        compiling: Seconds of the first compiled step; None where nothing is compiled.
    """

    known: Known
    before: int
    steps: int
    seconds: Seconds
    intervals: dict[str, int]
    refused: tuple[Load, ...] = ()
    compiling: float | None = None


def try_recipe(recipe: Recipe, device: torch.device, console: Console, steps: int | None = None) -> Trial:
    """Run steps of a recipe with images of noise.

    What a step of one image takes decides how large a step is tried: by the seconds, and on a CPU by the memory that
    is free. A GPU's memory is simply tried.

    Args:
        recipe: The experiment.
        device: Where to run it.
        console: Told what is being measured.
        steps: How many steps count; left out, as many as fit into 40 seconds, from 1 to 10.

    Raises:
        ResourceError: not even one image fits into memory, or the machine cannot do what [run] asks for.
        RecipeError: the batch cannot be taken in such passes.
    """
    loads = loads_of(split_batch(recipe, 1))
    eager = recipe.model_copy(update={"run": recipe.run.model_copy(update={"compile": False})})
    console.say(f"measuring steps on {device}, with images of noise")
    try:
        bench, known, before, refused = _climb(eager, device, console, loads)
        compiling = None
        if recipe.run.compile:
            console.say("compiling, which can take many minutes")
            bench.clear()
            bench = Bench(recipe, device)
            compiling = _compile(bench, known.load, console)
        count = steps or max(1, min(MOST_STEPS, int(MEASURING / known.seconds)))
        console.say(
            f"measuring {counted(count, 'step')} of {known.load}, about {format_duration(count * known.seconds)}"
        )
        with PeakMemory(device) as peak:
            taken = [_step(bench, known.load, console, f"step {number + 1} of {count}") for number in range(count)]
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise too_little_memory(error, recipe, device, loads[0], fitting=0) from error
        raise
    medians = {name: statistics.median(seconds[name] for seconds in taken) for name in taken[0]}
    known = Known(known.load, sum(medians.values()), known.fixed, peak.bytes)
    intervals = {phase.name: phase.interval for phase in bench.phases}
    return Trial(known, before, count, medians, intervals, tuple(refused), compiling)


def too_little_memory(
    error: BaseException, recipe: Recipe, device: torch.device, load: Load, fitting: int
) -> ResourceError:
    """What to say of a load that did not fit.

    Args:
        error: What PyTorch raised.
        recipe: The experiment.
        device: Where.
        load: What was tried.
        fitting: Images of the largest passes that did fit; 0 for none.
    """
    images = split_batch(recipe, 1).micro_batch_size
    said = out_of_memory_error(error, recipe, device, load.images)
    return ResourceError(said.message, memory_hint(recipe, device, images, at_most=fitting))


def _compile(bench: Bench, load: Load, console: Console) -> float:
    """Seconds of the first step, in which the networks are compiled.

    Raises:
        ResourceError: they cannot be, or not with the memory that there is.
    """
    try:
        return _warm_up(bench, load, console)
    except RuntimeError as error:  # the compilers' own errors are among them
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().split("\n", 1)[0]
        raise ResourceError(f"run.compile: compiling failed: {reason}", "Set run.compile=false.") from error


def _climb(
    recipe: Recipe, device: torch.device, console: Console, loads: list[Load]
) -> tuple[Bench, Known, int, list[Load]]:
    """Find the largest load that is affordable.

    Returns:
        A bench that has just run it, what is known of it, bytes held before, and the loads that did not fit.

    Raises:
        RuntimeError: PyTorch's, such as too little memory for the smallest load.
    """
    left = available_memory()
    with PeakMemory(device) as peak:
        limit = peak.before + int(ROOM * left) if device.type == "cpu" else None
        bench = Bench(recipe, device)
        fixed = peak.before + bench.fixed_bytes()
        known = Known(loads[0], _warm_up(bench, loads[0], console), fixed, peak.bytes)
        refused: list[Load] = []
        while load := next_load(known, loads, refused, limit):
            seconds = _if_it_fits(bench, load, console)
            if seconds is None:
                refused.append(load)
            else:
                known = Known(load, seconds, fixed, peak.bytes)
    if refused or known.seconds < QUICK:
        known = replace(known, seconds=_warm_up(bench, known.load, console))
    return bench, known, peak.before, refused


def _if_it_fits(bench: Bench, load: Load, console: Console) -> float | None:
    """Seconds of a step of a load; None where memory is too little for it."""
    try:
        return _warm_up(bench, load, console)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    console.say(f"{load} did not fit into memory")
    bench.clear()  # not while the error is handled, which keeps the step's tensors alive
    return None


def _warm_up(bench: Bench, load: Load, console: Console) -> float:
    return sum(_step(bench, load, console, f"trying {load} (does not count)").values())


def _step(bench: Bench, load: Load, console: Console, doing: str) -> Seconds:
    with _telling(console, doing) as tell:
        return bench.step(load, tell)


@contextmanager
def _telling(console: Console, doing: str) -> Iterator[Callable[[str], None]]:
    """Say which phase runs: in place on a terminal, by a line now and then elsewhere."""
    if console.live:
        with console.stderr.status(doing) as status:
            yield lambda phase: status.update(f"{doing}: {phase}")
        return
    last = time.monotonic()

    def tell(phase: str) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_SECONDS:
            last = time.monotonic()
            console.say(f"{doing}: {phase}")

    yield tell
