"""swincli on a GPU: everything that is worth knowing, in one command of at most eight minutes.

    python benchmarks/gpu.py [--minutes 8] [--only ROW ...] [--repeats 5] [--json FILE] [--device cuda|cpu] [--tiny]

Rows, in the order of their worth: a forward and a step compared with the CPU; the card's matrix rates; forwards of the
published networks compared with the CPU; the tests that are marked gpu; training and sampling at 256 and 1024 px in
exact float32, as the shipped recipes do (bf16 and TF32 by the card), with CUDA graphs, with the mixers of the hybrid
recipes, and compiled. Training is whole
steps of the loop: images, draws, D, G, averages and report, and R1's share. Each row is a process of its own, which is
ended when the time is over; what is left out is named. Waits of the host are those that CUDA itself reports in a step.

A share is of the bfloat16 matrix rate; a step counts four forwards of G and eight of D per image. Memory is PyTorch's
peak allocation. `--device cpu --tiny` runs the same code on tiny networks, and the figures mean nothing.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from arithmetic import generator_multiply_adds, step_flops
from counted_steps import BCR, CountedTraining, counted_recipe
from torch import nn

from swincli.console import Console
from swincli.diagnosis.device_check import check_device
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.ops.precision import exact_float32
from swincli.recipe import Recipe
from swincli.system import runtime
from swincli.training.run.state import build_state
from swincli.training.run_step import run_all
from swincli.training.step.cuda_graphs import RUNS_TO_CAPTURE
from swincli.training.step.engine import compile_networks
from swincli.version import __version__

RECIPES = {256: "ffhq256", 1024: "ffhq1024"}
HYBRID = "-hybrid"
"""End of the names of recipes with convolutions at the largest maps."""
BATCHES = {256: (16, 32), 1024: (4, 8)}
"""Images of a training step and of sampling, by resolution."""
TINY_HYBRID = ("model.mixer=dw7",)
TINY = ("model.size=16", "model.latent_dim=16", "model.mapping_layers=2", "model.g_width=16", "model.d_width=16")
EXACT = ("run.precision=fp32", "run.tf32=false")
SHIPPED = ("run.precision=gpu", "run.tf32=auto")
COMPILED = (*SHIPPED, "run.compile=true")
GRAPHED = (*SHIPPED, "run.cuda_graphs=true")
LEAST_SECONDS, TEST_SECONDS = 15.0, 150.0  # a row is not begun with less time left; the tests may take this long
WARM_UP = 2
REPOSITORY = Path(__file__).parents[1]

Figures = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What a row runs on.

    Attributes:
        device: Device of the networks.
        tiny: Tiny networks, to test the code.
        repeats: Timed calls, of which the median counts.
        kind: End of the recipe's name: nothing, or `HYBRID`.
    """

    device: torch.device
    tiny: bool = False
    repeats: int = 5
    kind: str = ""

    def recipe(self, size: int, batch: int, *settings: str) -> Recipe:
        """The published recipe of a resolution, without bCR."""
        tiny = (*TINY, *(TINY_HYBRID if self.kind else ())) if self.tiny else ()
        name = f"{RECIPES[size]}{self.kind}"
        return counted_recipe(name, 4 if self.tiny else batch, *BCR[False], *settings, *tiny)


def compared(setting: Setting) -> Figures:
    """`doctor`'s comparison of the device with the CPU."""
    return check_device(setting.device, Console(quiet=True)).to_dict()


def rates(setting: Setting) -> Figures:
    """FLOP/s of square matrix products."""
    side = 256 if setting.device.type == "cpu" else 8192
    found = {}
    for name, dtype, tf32 in (
        ("bf16", torch.bfloat16, False),
        ("tf32", torch.float32, True),
        ("fp32", torch.float32, False),
    ):
        runtime.configure(tf32=tf32)
        a, b = torch.randn(2, side, side, device=setting.device, dtype=dtype)
        found[name] = 2 * side**3 / median_seconds(setting, lambda a=a, b=b: a @ b)
    return {"matrix_rate": found}


@torch.inference_mode()
def parity(setting: Setting, size: int) -> Figures:
    """Largest difference of a float32 forward from the CPU's, relative to the CPU's largest value, for G and D."""
    config, device = setting.recipe(size, 4).model, setting.device
    torch.manual_seed(0)
    inputs = {"g": torch.randn(1, config.latent_dim), "d": torch.randn(1, 3, config.size, config.size)}
    figures = {}
    for name, network in (("g", Generator(config)), ("d", make_discriminator(config).eval())):
        expected = network(inputs[name])
        with exact_float32(device):
            found = network.to(device)(inputs[name].to(device)).cpu()
        figures[f"parity_{name}"] = ((found - expected).abs().max() / expected.abs().max()).item()
    return figures


def train(setting: Setting, size: int, settings: tuple[str, ...]) -> Figures:
    """Images per second of whole training steps."""
    recipe, device = setting.recipe(size, BATCHES[size][0], *settings), setting.device
    runtime.configure(tf32=recipe.run.tf32, fixed_shapes=True)
    started = time.perf_counter()
    training = CountedTraining(recipe, build_state(recipe, "", device), device)
    often = [phase for phase in training.phases if phase.interval == 1]
    lazy = [phase for phase in training.phases if phase.interval > 1]
    with training.data() as loader:
        for _ in range(RUNS_TO_CAPTURE * recipe.run.cuda_graphs):
            run_all(training.phases, training.micro_batches(loader))
        spent = median_seconds(setting, lambda: training.step(loader, often))
        batches = training.micro_batches(loader)
        extra = sum(median_seconds(setting, functools.partial(phase.run, batches)) / phase.interval for phase in lazy)
        waits = host_waits(device, lambda: training.step(loader, often))
    batch = recipe.train.batch
    return {
        "images_per_second": batch / (spent + extra),
        "step_seconds": spent,
        "lazy_seconds": extra,
        "flops": step_flops(recipe.model, batch) / (spent + extra),
        "host_waits": waits,
        "start_seconds": time.perf_counter() - started - setting.repeats * spent,
        **peak(device),
    }


def sample(setting: Setting, size: int, settings: tuple[str, ...]) -> Figures:
    """Images per second of G, from z to image."""
    recipe, device = setting.recipe(size, BATCHES[size][1], *settings), setting.device
    runtime.configure(tf32=recipe.run.tf32, fixed_shapes=True)
    generator = Generator(recipe.model).to(device).eval().requires_grad_(False)
    if recipe.run.compile:
        compile_networks(generator, nn.Module())
    batch, precision = recipe.train.batch, runtime.choose_precision(recipe.run.precision, device)
    z = torch.randn(batch, recipe.model.latent_dim, device=device)

    @torch.inference_mode()
    def work() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
            generator(z)

    spent = median_seconds(setting, work)
    flops = 2.0 * batch * generator_multiply_adds(recipe.model) / spent
    return {"images_per_second": batch / spent, "flops": flops, **peak(device)}


def run_tests(setting: Setting) -> Figures:
    """The tests that need a GPU; those of steps run with PyTorch's errors for waits of the host switched on."""
    chosen = (
        ["tests/benchmarks/test_kept_bytes.py"]
        if setting.device.type == "cpu"
        else ["-m", "gpu", "tests/training", "tests/ops"]
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", *chosen]
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=TEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return {"error": f"the tests took more than {TEST_SECONDS:.0f} s"}
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"passed": done.returncode == 0, "tests": lines[-1] if lines else done.stderr[-200:], "failed": failed}


def hybrid(row: Callable[..., Figures], **choices: Any) -> Callable[[Setting], Figures]:
    """A row with the hybrid recipe of its resolution."""
    return lambda setting: row(replace(setting, kind=HYBRID), **choices)


ROWS: dict[str, Callable[[Setting], Figures]] = {
    "compared with the CPU": compared,
    "matrix rates": rates,
    "parity, 256 px": functools.partial(parity, size=256),
    "training, 256 px, shipped": functools.partial(train, size=256, settings=SHIPPED),
    "training, 1024 px, shipped": functools.partial(train, size=1024, settings=SHIPPED),
    "tests": run_tests,
    "training, 256 px, CUDA graphs": functools.partial(train, size=256, settings=GRAPHED),
    "training, 256 px, float32": functools.partial(train, size=256, settings=EXACT),
    "sampling, 256 px, shipped": functools.partial(sample, size=256, settings=SHIPPED),
    "sampling, 1024 px, shipped": functools.partial(sample, size=1024, settings=SHIPPED),
    "training, 256 px hybrid, shipped": hybrid(train, size=256, settings=SHIPPED),
    "sampling, 256 px hybrid, shipped": hybrid(sample, size=256, settings=SHIPPED),
    "training, 1024 px hybrid, shipped": hybrid(train, size=1024, settings=SHIPPED),
    "sampling, 1024 px hybrid, shipped": hybrid(sample, size=1024, settings=SHIPPED),
    "parity, 256 px hybrid": hybrid(parity, size=256),
    "parity, 1024 px": functools.partial(parity, size=1024),
    "training, 1024 px, float32": functools.partial(train, size=1024, settings=EXACT),
    "training, 256 px, compiled": functools.partial(train, size=256, settings=COMPILED),
    "sampling, 256 px, compiled": functools.partial(sample, size=256, settings=COMPILED),
    "training, 1024 px, compiled": functools.partial(train, size=1024, settings=COMPILED),
}


def median_seconds(setting: Setting, work: Callable[[], object]) -> float:
    """Median seconds of a call, after two warm-up calls."""
    for _ in range(WARM_UP):
        work()
    return statistics.median(one_call(setting.device, work) for _ in range(setting.repeats))


def one_call(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of one call, until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def host_waits(device: torch.device, work: Callable[[], object]) -> int | None:
    """How often the host waits for the device in a call, as CUDA reports it; None elsewhere."""
    if device.type != "cuda":
        work()
        return None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(each.message) for each in said)


def peak(device: torch.device) -> Figures:
    """Most memory that PyTorch has allocated on a GPU, in GiB."""
    return {"peak_gib": torch.cuda.max_memory_allocated(device) / 2**30} if device.type == "cuda" else {}


def run_row(name: str, arguments: argparse.Namespace, seconds: float) -> Figures:
    """Measure a row in a process of its own; without a result, the reason under "error"."""
    options = ["--device", arguments.device, "--repeats", str(arguments.repeats), *(["--tiny"] * arguments.tiny)]
    command = [sys.executable, str(Path(__file__).resolve()), "--row", name, *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds, env=os.environ | paths()
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not through after {seconds:.0f} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def paths() -> dict[str, str]:
    """Environment in which this repository's swincli is imported."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))}


def shown(name: str, figures: Figures, rate: float | None) -> str:
    """One line of the report."""
    if "error" in figures:
        words = figures["error"]
    elif "right" in figures:
        worst = max((each["difference"] for each in figures["results"].values()), default=float("nan"))
        words = f"{'right' if figures['right'] else 'WRONG'}, largest difference {worst:.1e} {figures['failure']}"
    elif "matrix_rate" in figures:
        words = ", ".join(f"{kind} {value / 1e12:.3g} TFLOP/s" for kind, value in figures["matrix_rate"].items())
    elif "tests" in figures:
        words = "\n".join([figures["tests"], *figures["failed"]])
    elif "parity_g" in figures:
        words = f"G {figures['parity_g']:.1e}, D {figures['parity_d']:.1e} of the largest value"
    else:
        parts = [f"{figures['images_per_second']:.2f} images/s"]
        parts += [f"{figures['flops'] / rate:.1%} of bf16"] if rate else []
        parts += [f"{figures['peak_gib']:.1f} GiB"] if "peak_gib" in figures else []
        parts += [f"{figures['host_waits']} waits a step"] if figures.get("host_waits") is not None else []
        words = ", ".join(parts)
    return f"{name:<36}{words}\n"


def is_fine(figures: Figures) -> bool:
    """Whether a row has figures, and they are not those of a failure."""
    return "error" not in figures and figures.get("right", True) and figures.get("passed", True)


def measure_all(arguments: argparse.Namespace) -> dict[str, Figures]:
    """Measure and print the rows until the time is over."""
    deadline, rows, rate = time.monotonic() + 60 * arguments.minutes, dict[str, Figures](), None
    for name in arguments.only:
        left = deadline - time.monotonic()
        rows[name] = run_row(name, arguments, left) if left >= LEAST_SECONDS else {"error": "no time left"}
        rate = rows[name].get("matrix_rate", {}).get("bf16", rate)
        sys.stdout.write(shown(name, rows[name], rate))
        sys.stdout.flush()
    return rows


def read_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print; exit status 1 without a CUDA device, or if a row failed."""
    arguments = read_arguments()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs a CUDA device, and there is none")
    device = torch.device(arguments.device)
    if arguments.row:
        figures = ROWS[arguments.row](Setting(device, arguments.tiny, arguments.repeats))
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    machine = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "pytorch": torch.__version__,
        "swincli": __version__,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    sys.stdout.write(f"{', '.join(machine.values())}\n")
    rows = measure_all(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    sys.exit(not all(map(is_fine, rows.values())))


if __name__ == "__main__":
    main()
