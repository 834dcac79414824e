"""Training and sampling on a GPU, compared with plain implementations of the same networks in one run.

    python benchmarks/gpu.py [--sizes 256 1024] [--only NAME ...] [--repeats 10] [--json FILE] [--device cuda|cpu]

The plain networks are those of tests/plain_networks.py, the references of the tests. They run eagerly in float32
without TF32. Training speed includes D, G and the EMA update in every step, and R1 in every 16th step. Shares are
relative to the bfloat16 matrix rate; a step counts four forwards of G and eight of D per image. At 1024 px swincli
recomputes the activations of maps from 64 px up; the plain networks store all of them. Memory is PyTorch's peak
allocation. `--device cpu --sizes 16` runs everything without a GPU on tiny networks, and the figures mean nothing.
"""

from __future__ import annotations

import argparse
import copy
import functools
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from arithmetic import generator_multiply_adds, step_flops
from timed_networks import as_they_are, prepare_training
from torch import nn

from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection, RunSection
from swincli.system import runtime
from swincli.training.ema.ema import update_ema
from swincli.training.step.engine import compile_networks
from swincli.version import __version__

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from plain_networks import PlainDiscriminator, PlainGenerator

BATCHES = {256: (16, 16), 1024: (2, 4)}
"""Batch sizes of training and of sampling, by resolution."""
RECOMPUTE_AT, RECOMPUTE_FROM = 1024, 64
WARM_UP = 2
EMA_DECAY = 0.999

Figures = dict[str, float]


@dataclass(frozen=True)
class Variant:
    """Implementation and settings of the networks.

    Attributes:
        plain: Whether to use the plain networks of the tests instead of swincli's.
        run: Keys of the recipe's [run] section.
    """

    plain: bool = False
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def precision(self) -> torch.dtype:
        """Precision of matrix products."""
        return torch.bfloat16 if self.run.get("precision") == "bf16" else torch.float32


VARIANTS = {
    "plain": Variant(plain=True),
    "float32": Variant(),
    "bf16": Variant(run={"precision": "bf16"}),
    "bf16-compiled": Variant(run={"precision": "bf16", "compile": True}),
    "bf16-compiled-last": Variant(run={"precision": "bf16", "compile": True, "channels_last": True}),
}


def seconds_on(device: torch.device, work: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call, after two warm-up calls; the device is synchronised before and after each."""
    for _ in range(WARM_UP):
        work()
    return statistics.median(one_call(device, work) for _ in range(repeats))


def one_call(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of one call; on a GPU measured with CUDA events."""
    if device.type != "cuda":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    first.record()
    work()
    last.record()
    torch.cuda.synchronize(device)
    return float(first.elapsed_time(last)) / 1000


def matrix_rate(device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """FLOP/s of a square matrix product."""
    side = 8192 if device.type == "cuda" else 256
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    return 2 * side**3 / seconds_on(device, lambda: a @ b, repeats)


def section(size: int, device: torch.device) -> ModelSection:
    """The [model] section of a resolution: that of the published recipes, or tiny networks on a CPU."""
    if device.type != "cuda":
        return ModelSection(size=size, latent_dim=16, mapping_layers=2, g_width=16, d_width=8)
    return ModelSection(size=size, g_multiplier=1 if size >= RECOMPUTE_AT else 2)


def train(config: ModelSection, batch: int, variant: Variant, device: torch.device, repeats: int) -> Figures:
    """Images per second of training: D, G, the EMA update, and R1's share."""
    recompute = RECOMPUTE_FROM if config.size >= RECOMPUTE_AT and not variant.plain else None
    recipe = Recipe(model=config, run=RunSection(recompute_from=recompute, **variant.run))

    def plainly(generator: nn.Module, discriminator: nn.Module) -> tuple[nn.Module, nn.Module]:
        return PlainGenerator(generator, config), PlainDiscriminator(discriminator, config)

    training = prepare_training(recipe, batch, device, plainly if variant.plain else as_they_are)
    average = copy.deepcopy(training.generator)

    def step() -> None:
        training.step("D", "G")
        update_ema(average, training.generator, EMA_DECAY)

    spent = seconds_on(device, step, repeats)
    lazy = seconds_on(device, lambda: training.step("R1"), repeats)
    rate = batch / (spent + lazy / recipe.loss.r1_interval)
    return {
        "images_per_second": rate,
        "step_seconds": spent,
        "r1_seconds": lazy,
        "flops": step_flops(config, batch) / spent,
    }


def sample(config: ModelSection, batch: int, variant: Variant, device: torch.device, repeats: int) -> Figures:
    """Images per second of G, from z to image."""
    torch.manual_seed(0)
    generator = Generator(config).to(device).eval().requires_grad_(False)
    if variant.run.get("compile"):
        compile_networks(generator, nn.Module())
    network = PlainGenerator(generator, config) if variant.plain else generator
    z = torch.randn(batch, config.latent_dim, device=device)
    half = variant.precision != torch.float32

    @torch.inference_mode()
    def work() -> None:
        with torch.autocast(device.type, variant.precision, enabled=half):
            network(z)

    spent = seconds_on(device, work, repeats)
    flops = 2.0 * batch * generator_multiply_adds(config) / spent
    return {"images_per_second": batch / spent, "seconds": spent, "flops": flops}


def measured(work: Callable[[], Figures], rate: float, device: torch.device) -> Figures:
    """Figures of a benchmark with peak memory and share of the matrix rate; empty if it runs out of memory."""
    gc.collect()
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        figures = work()
    except torch.OutOfMemoryError:
        return {}
    figures["share"] = figures.pop("flops") / rate
    if device.type == "cuda":
        figures["peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return figures


@torch.inference_mode()
def parity(config: ModelSection, device: torch.device) -> Figures:
    """Largest difference of a float32 forward from the CPU's, relative to the CPU's largest value, for G and D."""
    torch.manual_seed(0)
    figures = {}
    z, image = torch.randn(2, config.latent_dim), torch.randn(2, 3, config.size, config.size)
    for name, network, x in (("g", Generator(config), z), ("d", make_discriminator(config).eval(), image)):
        expected = network(x)
        found = network.to(device)(x.to(device)).cpu()
        figures[f"parity_{name}"] = ((found - expected).abs().max() / expected.abs().max()).item()
    return figures


def show(title: str, figures: Figures) -> None:
    """Print one row of the table."""
    if not figures:
        line = "out of memory"
    else:
        peak = f"{figures['peak_gib']:>8.1f} GiB" if "peak_gib" in figures else ""
        line = f"{figures['images_per_second']:>10.2f} images/s{figures['share']:>8.1%} of bf16{peak}"
    sys.stdout.write(f"{title:<50}{line}\n")
    sys.stdout.flush()


def measure_size(size: int, names: list[str], device: torch.device, rate: float, repeats: int) -> dict[str, Figures]:
    """Measure and print all rows of a resolution."""
    config, (step_batch, batch) = section(size, device), BATCHES.get(size, (4, 4))
    rows = {f"parity, {size} px": parity(config, device)}
    sys.stdout.write("\n" + ", ".join(f"{key} {value:.1e}" for key, value in rows[f"parity, {size} px"].items()) + "\n")
    for title, work, images in (("training", train, step_batch), ("sampling", sample, batch)):
        for name in names:
            row, variant = f"{title}, {size} px, batch {images}, {name}", VARIANTS[name]
            rows[row] = measured(functools.partial(work, config, images, variant, device, repeats), rate, device)
            show(row, rows[row])
    return rows


def read_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    return parser.parse_args()


def main() -> None:
    """Measure and print; exit status 1 without a CUDA device."""
    arguments = read_arguments()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs a CUDA device, and there is none")
    device = torch.device(arguments.device)
    runtime.configure()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu (tiny networks, to test the script)"
    machine = {
        "device": name,
        "pytorch": torch.__version__,
        "swincli": __version__,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    rates = {kind: matrix_rate(device, kind, arguments.repeats) for kind in (torch.bfloat16, torch.float32)}
    sys.stdout.write(f"{', '.join(machine.values())}\n")
    sys.stdout.write("".join(f"matrix rate, {kind}: {rate / 1e12:.3g} TFLOP/s\n" for kind, rate in rates.items()))
    rows: dict[str, Figures] = {}
    for size in arguments.sizes:
        rows |= measure_size(size, arguments.only, device, rates[torch.bfloat16], arguments.repeats)
    if arguments.json:
        matrix = {str(kind): rate for kind, rate in rates.items()}
        arguments.json.write_text(
            json.dumps({"machine": machine, "matrix_rate": matrix, "rows": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
