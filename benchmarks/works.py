"""The benchmarks of `speed.py`, one per process: `python benchmarks/works.py NAME [--repeats 3] [--tiny]` prints JSON.

With --tiny every benchmark runs in seconds on tiny networks; the figures then mean nothing.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from arithmetic import generator_multiply_adds, step_flops, walk_bound
from measuring import GEMM_SIDE, Figures, gemm_rate, kept_bytes, peak_memory, seconds_of, share_of_gemm
from timed_networks import generator_work, prepare_training, step_work

from swincli.model.blocks.attention import GroupedAttention
from swincli.model.files.find_checkpoint import model_name
from swincli.model.files.model_file import save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe, load_recipe
from swincli.recipe.schema import ModelSection
from swincli.synthesis.level_reuse import synthesise_all
from swincli.system import runtime
from swincli.training.ema.ema import update_ema

QUICKSTART = Path(__file__).parents[1] / "recipes" / "quickstart-faces.toml"
COLD_STARTS = 5
"""Repeats of command timings, and the minimum for benchmarks that take milliseconds."""


@dataclass(frozen=True)
class Case:
    """Networks, batch and repeats of a benchmark.

    Attributes:
        config: The [model] section of the networks.
        batch: Batch size.
        repeats: Number of timings; the median counts.
        tiny: Whether the networks are tiny, to test the script.
    """

    config: ModelSection
    batch: int
    repeats: int
    tiny: bool


Measure = Callable[[Case], Figures]


def matrix_rate(case: Case) -> Figures:
    """Rate of a float32 matrix product, the reference of all shares."""
    return {"gflops": gemm_rate(256 if case.tiny else GEMM_SIDE) / 1e9}


def generator_forward(case: Case) -> Figures:
    """G's forward: share of the matrix rate, and peak memory."""
    flops = 2.0 * case.batch * generator_multiply_adds(case.config)
    return share_of_gemm(generator_work(case.config, case.batch), flops, case.repeats)


def walk_reuse(case: Case) -> Figures:
    """Frames of a walk whose codes move from a side up, one by one: whole, and with the lower levels reused."""
    torch.manual_seed(0)
    generator = Generator(case.config).eval().requires_grad_(False)
    sides = case.config.resolutions[-3:-1]  # of 256 px: 64 and 128
    frames = {}
    for side in sides:
        frames[side] = torch.randn(case.batch, 1, generator.num_ws, generator.latent_dim)
        first = 2 * case.config.resolutions.index(side)
        frames[side][:, :, :first] = frames[side][:1, :, :first]
    whole = torch.inference_mode()(lambda: [generator.synthesise(w_plus) for w_plus in frames[sides[0]]])
    reused = [functools.partial(lambda side: list(synthesise_all(generator, frames[side])), side) for side in sides]
    plain, *times = seconds_of([whole, *reused], case.repeats)
    names = ("two", "one")  # levels that move below the last one
    figures = {f"ratio_{name}": plain / spent for name, spent in zip(names, times, strict=True)}
    bounds = {f"bound_{name}": walk_bound(case.config, side) for name, side in zip(names, sides, strict=True)}
    return figures | bounds | {"seconds": plain / case.batch, "peak_gib": peak_gib()}


def training_step(case: Case) -> Figures:
    """D's and G's phases: share of the matrix rate, and peak memory."""
    return share_of_gemm(step_work(case.config, case.batch), step_flops(case.config, case.batch), case.repeats)


def r1_phase(case: Case) -> Figures:
    """R1's phase with its optimiser step, relative to a forward and backward of D."""
    training = prepare_training(Recipe(model=case.config), case.batch)
    discriminator, reals = training.discriminator, training.passes[0].reals

    def plain() -> None:
        discriminator.requires_grad_(True)
        discriminator(reals).sum().backward()
        discriminator.zero_grad(set_to_none=True)
        discriminator.requires_grad_(False)

    judged, penalised = seconds_of([plain, lambda: training.step("R1")], case.repeats)
    return {"ratio": penalised / judged, "seconds": penalised, "plain_seconds": judged, "peak_gib": peak_gib()}


def peak_gib() -> float:
    """Peak memory of this process so far."""
    return peak_memory() / 2**30


def tables(case: Case) -> Figures:
    """Bytes that a forward leaves in caches and buffers: masks, index and sine tables, filters."""
    figures = {}
    for size in (case.config.size // 2, case.config.size):
        generator = Generator(case.config.model_copy(update={"size": size})).eval().requires_grad_(False)
        with torch.inference_mode():
            generator(torch.randn(1, case.config.latent_dim))
        figures[f"bytes_{'full' if size == case.config.size else 'half'}"] = float(kept_bytes(generator))
    return figures


def linear_cost(case: Case) -> Figures:
    """Multiply-adds of G and time of an attention layer per pixel, at a size and at half of it."""
    small, large = case.config.size // 2, case.config.size
    figures = {
        f"multiply_adds_a_pixel_{size}": generator_multiply_adds(case.config.model_copy(update={"size": size}))
        / size**2
        for size in (small, large)
    }
    works = []
    for size in (small, large):
        attention = GroupedAttention(64, 4, case.config.window_at(size), size).requires_grad_(False)
        works.append(torch.inference_mode()(functools.partial(attention, torch.randn(1, size, size, 64))))
    half, full = seconds_of(works, case.repeats)
    most = figures[f"multiply_adds_a_pixel_{large}"] / figures[f"multiply_adds_a_pixel_{small}"]
    times = {"attention_ns_a_pixel_half": 1e9 * half / small**2, "attention_ns_a_pixel_full": 1e9 * full / large**2}
    return figures | times | {"multiply_adds_ratio": most, "attention_ratio": full / half / 4}


def optimizer_share(case: Case) -> Figures:
    """Both optimiser steps and the EMA update, as a share of a training step."""
    training = prepare_training(Recipe(model=case.config), case.batch)
    average = copy.deepcopy(training.generator)

    def move() -> None:
        for network, optimizer in zip((training.discriminator, training.generator), training.optimizers, strict=True):
            for parameter in network.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
        update_ema(average, training.generator, 0.999)

    (moved,) = seconds_of([move], max(case.repeats, COLD_STARTS))
    for optimizer in training.optimizers:
        optimizer.zero_grad(set_to_none=True)
    step, averaged = seconds_of(
        [lambda: training.step("D", "G"), lambda: update_ema(average, training.generator, 0.999)], case.repeats
    )
    return {"share": moved / (step + averaged), "seconds": moved, "step_seconds": step + averaged}


def show_help(case: Case) -> Figures:  # noqa: ARG001
    """`swincli --help` in a new process each time, with files in the page cache."""
    return {"seconds": seconds_of([functools.partial(run_swincli, "--help")], COLD_STARTS)[0]}


def sample_one(case: Case) -> Figures:  # noqa: ARG001
    """`swincli sample` of one image from an untrained quickstart model, in a new process each time."""
    recipe = load_recipe(str(QUICKSTART))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / model_name(0)
        save_model(model, Generator(recipe.model), recipe, 0)
        numbers = iter(range(1 + COLD_STARTS))

        def sample() -> None:
            out = Path(folder) / f"images-{next(numbers)}"
            run_swincli("sample", "--checkpoint", str(model), "--seeds", "0", "--out", str(out))

        return {"seconds": seconds_of([sample], COLD_STARTS)[0]}


def run_swincli(*arguments: str) -> None:
    """Run the swincli command that is installed with this Python."""
    command = Path(sys.executable).with_name("swincli")
    subprocess.run([str(command), *arguments], check=True, capture_output=True)


def quickstart(case: Case) -> Figures:
    """Images per second of quickstart steps: D, R1 at its interval, G and the EMA update."""
    recipe = load_recipe(str(QUICKSTART), ["run.compile=false"] if case.tiny else [])
    training = prepare_training(recipe, recipe.train.batch)
    average = copy.deepcopy(training.generator)
    steps = 1 if case.tiny else max(phase.interval for phase in training.phases.values())

    def train() -> None:
        for number in range(steps):
            training.step(*(name for name, phase in training.phases.items() if number % phase.interval == 0))
            update_ema(average, training.generator, 0.999)

    images = steps * recipe.train.batch
    figures = share_of_gemm(train, step_flops(recipe.model, images), case.repeats)
    return figures | {"images_per_second": images / figures["seconds"]}


WORKS: dict[str, tuple[Measure, int, int, int]] = {
    "gemm": (matrix_rate, 16, 1, 1),
    "generator-256": (generator_forward, 256, 2, 4),
    "generator-1024": (generator_forward, 1024, 1, 1),
    "walk-256": (walk_reuse, 256, 2, 8),
    "step-64": (training_step, 64, 2, 8),
    "step-256": (training_step, 256, 2, 2),
    "r1-64": (r1_phase, 64, 2, 8),
    "r1-256": (r1_phase, 256, 2, 2),
    "tables": (tables, 1024, 1, 1),
    "linear": (linear_cost, 512, 2, 1),
    "optimizer": (optimizer_share, 64, 2, 8),
    "help": (show_help, 16, 1, 1),
    "sample": (sample_one, 16, 1, 1),
    "quickstart": (quickstart, 32, 1, 16),
}
"""Function of each benchmark, resolution, G's channel multiplier and batch size (of a walk: frames)."""


def make_case(name: str, repeats: int, *, tiny: bool) -> Case:
    """The case of a benchmark."""
    _, size, multiplier, batch = WORKS[name]
    if tiny:
        narrow = ModelSection(size=32, latent_dim=16, g_width=16, d_width=8, mapping_layers=2)
        return Case(narrow, 2, repeats, tiny)
    return Case(ModelSection(size=size, g_multiplier=multiplier), batch, repeats, tiny)


def main() -> None:
    """Run one benchmark; print its figures, the number of threads and the PyTorch version as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=WORKS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    runtime.configure()
    figures = WORKS[arguments.name][0](make_case(arguments.name, arguments.repeats, tiny=arguments.tiny))
    result = {"figures": figures, "threads": torch.get_num_threads(), "pytorch": torch.__version__}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
