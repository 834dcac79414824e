"""How close the networks come to the machine's own matrix rate, measured in one run.

    python benchmarks/speed.py [--sizes 64 256] [--repeats 5] [--json FILE] [--compare FILE]

Every figure is a share of a float32 matrix product's rate on the same threads, taken just before and after it, so that
runs on busy or different machines can be compared. Arithmetic is counted with PyTorch's flop counter (products and
convolutions). A training step counts four forwards of G and eight of D: what forward and backward of both phases cost.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from swincli import runtime
from swincli.model.discriminator import Discriminator
from swincli.model.generator import Generator
from swincli.recipe.schema import ModelSection, Recipe
from swincli.training.losses import Batch
from swincli.training.phases import make_optimizers, make_phases

BATCH = {16: 16, 32: 16, 64: 8, 128: 4, 256: 4, 512: 2, 1024: 1}
STEP_BATCH = {16: 16, 32: 16, 64: 8, 128: 4, 256: 2, 512: 1, 1024: 1}
GEMM_SIDE = 2048


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def gemm_rate() -> float:
    """Flop/s of a square float32 product."""
    a, b = torch.randn(GEMM_SIDE, GEMM_SIDE), torch.randn(GEMM_SIDE, GEMM_SIDE)
    return 2 * GEMM_SIDE**3 / seconds(lambda: a @ b, 5)


def flops(work: Callable[[], object]) -> float:
    """Arithmetic of a call in products and convolutions."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return float(counter.get_total_flops())


def share(name: str, work: Callable[[], object], amount: float, repeats: int) -> dict[str, Any]:
    """One row: time, rate, and the rate's share of the matrix product's measured around it."""
    before = gemm_rate()
    spent = seconds(work, repeats)
    gemm = (before + gemm_rate()) / 2
    return {"work": name, "seconds": spent, "gflops": amount / spent / 1e9, "share": amount / spent / gemm}


def measure(size: int, repeats: int) -> list[dict[str, Any]]:
    """Rows of one image size: G forward, D forward and backward, R1, and a training step."""
    config = ModelSection(size=size, g_multiplier=1 if size == 1024 else 2)
    generator, discriminator = Generator(config), Discriminator(config)
    for network in (generator, discriminator):
        network.requires_grad_(False)
    batch, step_batch = BATCH[size], STEP_BATCH[size]
    z, x = torch.randn(batch, 512), torch.randn(step_batch, 3, size, size)

    def sample() -> object:
        with torch.inference_mode():
            return generator(z)

    def judge() -> None:
        discriminator.requires_grad_(True)
        discriminator(x).sum().backward()
        discriminator.zero_grad(set_to_none=True)
        discriminator.requires_grad_(False)

    forward_g = flops(sample) / batch
    with torch.no_grad():
        forward_d = flops(lambda: discriminator(x)) / step_batch
    rows = [share(f"G forward, {size} px, batch {batch}", sample, forward_g * batch, repeats)]
    judged = share(f"D forward and backward, {size} px, batch {step_batch}", judge, 3 * forward_d * step_batch, repeats)
    phases = make_phases(generator, discriminator, *make_optimizers(generator, discriminator, Recipe()), Recipe())
    latents = torch.randn(2, step_batch, 512)
    work = [Batch(x, latents[0], latents[1])]
    lazy = seconds(lambda: phases[1].run(work), repeats)
    step = share(
        f"training step without R1, {size} px, batch {step_batch}",
        lambda: [phase.run(work) for phase in phases if phase.name != "R1"],
        (4 * forward_g + 8 * forward_d) * step_batch,
        repeats,
    )
    r1 = {"work": f"R1 phase as a multiple of D forward and backward, {size} px", "ratio": lazy / judged["seconds"]}
    return [*rows, judged, r1, step]


def main() -> None:
    """Measure, print a table, and write or compare JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256], choices=sorted(BATCH))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compare", type=Path)
    arguments = parser.parse_args()
    runtime.configure()
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
    rows = [row for size in arguments.sizes for row in measure(size, arguments.repeats)]
    earlier = json.loads(arguments.compare.read_text()) if arguments.compare else {"rows": []}
    before = {row["work"]: row for row in earlier["rows"]}
    sys.stdout.write(f"{machine}\n")
    for row in rows:
        key = "ratio" if "ratio" in row else "share"
        shown = f"{row[key]:.2f}x" if key == "ratio" else f"{row[key]:.0%} of GEMM, {row['seconds']:.2f} s"
        change = f"  (was {before[row['work']][key]:.2f})" if row["work"] in before else ""
        sys.stdout.write(f"{row['work']}: {shown}{change}\n")
    peak = psutil.Process().memory_info().rss / 2**30
    sys.stdout.write(f"memory at the end: {peak:.1f} GiB\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
