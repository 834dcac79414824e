"""Training and sampling on a GPU, beside the same networks written plainly, measured in one run.

    python benchmarks/gpu.py [--sizes 256 1024] [--only NAME ...] [--repeats 10] [--json FILE] [--device cuda|cpu]

The plain networks are those of tests/plain_networks.py, which the fast ones are tested against; they run eagerly, in
float32 that is float32 (no TF32). Images a second of training are of D, G and the running average at every step and of
R1 at every 16th. Shares are of the bfloat16 matrix rate measured before; a step counts four forwards of G and eight of
D an image. At 1024 px swincli's training recomputes the activations of maps of 64 px and more; the plain one keeps all.
Memory is what PyTorch has allocated at most. `--device cpu --sizes 16` runs every line without a GPU, with tiny
networks; its figures mean nothing.
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

from swincli import __version__
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection, RunSection
from swincli.system import runtime
from swincli.training.ema.ema import update_ema
from swincli.training.step.engine import compile_networks

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from plain_networks import PlainDiscriminator, PlainGenerator

BATCHES = {256: (16, 16), 1024: (2, 4)}
"""Images of a training step, and of sampling at once, by the size of the image."""
RECOMPUTE_AT, RECOMPUTE_FROM = 1024, 64
WARM_UP = 2
EMA_DECAY = 0.999

Figures = dict[str, float]


@dataclass(frozen=True)
class Variant:
    """A way of running the networks.

    Attributes:
        plain: As tests write them; else as swincli does.
        run: Keys of the recipe's [run] section.
    """

    plain: bool = False
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def precision(self) -> torch.dtype:
        """Of matrix products."""
        return torch.bfloat16 if self.run.get("precision") == "bf16" else torch.float32


VARIANTS = {
    "plain": Variant(plain=True),
    "float32": Variant(),
    "bf16": Variant(run={"precision": "bf16"}),
    "bf16-compiled": Variant(run={"precision": "bf16", "compile": True}),
    "bf16-compiled-last": Variant(run={"precision": "bf16", "compile": True, "channels_last": True}),
}


def seconds_on(device: torch.device, work: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after two that are not counted; the device has finished before and after each."""
    for _ in range(WARM_UP):
        work()
    return statistics.median(one_call(device, work) for _ in range(repeats))


def one_call(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of a call, by the device's own clock where it is a GPU."""
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
    """Floating-point operations a second of a square product."""
    side = 8192 if device.type == "cuda" else 256
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    return 2 * side**3 / seconds_on(device, lambda: a @ b, repeats)


def section(size: int, device: torch.device) -> ModelSection:
    """The networks of a size: those of the published recipes, or tiny ones to try this script with."""
    if device.type != "cuda":
        return ModelSection(size=size, latent_dim=16, mapping_layers=2, g_width=16, d_width=8)
    return ModelSection(size=size, g_multiplier=1 if size >= RECOMPUTE_AT else 2)


def train(config: ModelSection, batch: int, variant: Variant, device: torch.device, repeats: int) -> Figures:
    """Images a second of training: D, G and the running average, with R1's share."""
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
    """Images a second of the generator alone, z to image."""
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
    """A work's figures with its peak memory and share of the matrix rate; none where the memory does not suffice."""
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
    """Largest difference of a float32 forward from the CPU's, of the CPU's largest value, for G and for D."""
    torch.manual_seed(0)
    figures = {}
    z, image = torch.randn(2, config.latent_dim), torch.randn(2, 3, config.size, config.size)
    for name, network, x in (("g", Generator(config), z), ("d", make_discriminator(config).eval(), image)):
        expected = network(x)
        found = network.to(device)(x.to(device)).cpu()
        figures[f"parity_{name}"] = ((found - expected).abs().max() / expected.abs().max()).item()
    return figures


def show(title: str, figures: Figures) -> None:
    """Print a row of the table."""
    if not figures:
        line = "out of memory"
    else:
        peak = f"{figures['peak_gib']:>8.1f} GiB" if "peak_gib" in figures else ""
        line = f"{figures['images_per_second']:>10.2f} images/s{figures['share']:>8.1%} of bf16{peak}"
    sys.stdout.write(f"{title:<50}{line}\n")
    sys.stdout.flush()


def measure_size(size: int, names: list[str], device: torch.device, rate: float, repeats: int) -> dict[str, Figures]:
    """All rows of an image size."""
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
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    return parser.parse_args()


def main() -> None:
    """Measure and print; exit status 1 where there is no CUDA device."""
    arguments = read_arguments()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py measures a CUDA device, and there is none")
    device = torch.device(arguments.device)
    runtime.configure()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu (tiny networks, to try the script)"
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
