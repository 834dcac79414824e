"""Hybrid generators, with convolutions in place of attention at high resolutions, against the faithful ones.

    python benchmarks/mixers.py [--only ROW ...] [--repeats 5] [--peaks 3] [--json FILE] [--tiny]

The times of a row come from one process: both networks take turns, and the figure is the median over the turns of the
faithful network's time divided by the hybrid's. So it depends little on the machine and on other programs. Peak memory
is the largest resident set of a process that runs one of the two networks, twice; the median of some. Sampling is a
forward of G as in `swincli sample`; a step is D's and G's phase without R1. With --tiny the script is tested on tiny
networks, and the figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measuring import Work, peak_memory
from timed_networks import generator_work, step_work

from swincli.recipe import load_recipe
from swincli.recipe.schema import ModelSection
from swincli.system.resources import cpu_name
from swincli.version import __version__

FAITHFUL, HYBRID = "faithful", "hybrid"


@dataclass(frozen=True)
class Row:
    """A comparison.

    Attributes:
        recipe: The faithful recipe; the hybrid's name is this one and "-hybrid".
        step: Time training steps, or else sampling.
        batch: Images at a time.
        faster: Target: the hybrid's images per second, relative to the faithful network's.
        memory: Target: at most this part of the faithful network's peak memory; None without a target.
    """

    recipe: str
    step: bool
    batch: int
    faster: float
    memory: float | None = None


ROWS: dict[str, Row] = {
    "sampling-1024": Row("ffhq1024", step=False, batch=1, faster=2.0, memory=1.0),
    "step-1024": Row("ffhq1024", step=True, batch=1, faster=1.6, memory=0.7),
    "sampling-256": Row("ffhq256", step=False, batch=4, faster=1.3),
}


def network(row: Row, kind: str, *, tiny: bool) -> ModelSection:
    """The [model] section of the faithful or of the hybrid network."""
    if not tiny:
        return load_recipe(row.recipe if kind == FAITHFUL else f"{row.recipe}-hybrid").model
    changes: dict[str, Any] = {} if kind == FAITHFUL else {"mixer": {"32": "dw7"}, "mlp_ratio": {"32": 2}}
    return ModelSection(size=32, latent_dim=16, mapping_layers=2, g_width=16, d_width=8, **changes)


def work_of(row: Row, kind: str, *, tiny: bool) -> Work:
    """What is timed of one network."""
    make = step_work if row.step else generator_work
    return make(network(row, kind, tiny=tiny), row.batch)


def take_turns(row: Row, repeats: int, *, tiny: bool) -> dict[str, list[float]]:
    """Seconds of every turn of both networks, after one warm-up each."""
    works = {kind: work_of(row, kind, tiny=tiny) for kind in (FAITHFUL, HYBRID)}
    seconds: dict[str, list[float]] = {kind: [] for kind in works}
    for turn in range(repeats + 1):
        for kind, work in works.items():
            start = time.perf_counter()
            work()
            if turn:
                seconds[kind].append(time.perf_counter() - start)
    return seconds


def peak(row: Row, kind: str, *, tiny: bool) -> int:
    """Peak memory of this process in bytes after one network has run twice."""
    work = work_of(row, kind, tiny=tiny)
    work()
    work()
    return peak_memory()


def in_child(name: str, part: str, arguments: argparse.Namespace) -> Any:
    """Measure one part of a row in a process of its own: "turns", or the peak of a network."""
    command = [sys.executable, __file__, "--only", name, "--part", part, "--repeats", str(arguments.repeats)]
    done = subprocess.run([*command, *(["--tiny"] if arguments.tiny else [])], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} ({part}) failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """The figures of a row."""
    turns = in_child(name, "turns", arguments)
    ratios = [one / other for one, other in zip(turns[FAITHFUL], turns[HYBRID], strict=True)]
    runs = 1 if arguments.tiny else arguments.peaks
    peaks = {
        kind: statistics.median(in_child(name, kind, arguments) for _ in range(runs)) / 2**30
        for kind in (FAITHFUL, HYBRID)
    }
    return {
        **{f"{kind} seconds": statistics.median(turns[kind]) for kind in turns},
        **{f"{kind} GiB": value for kind, value in peaks.items()},
        "faster": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "memory": round(peaks[HYBRID] / peaks[FAITHFUL], 2),
    }


def show(name: str, row: Row, figures: dict[str, float]) -> None:
    """Print the two lines of a row."""
    faster, memory = figures["faster"], figures["memory"]
    spread = f"({figures['least']:.2f} to {figures['most']:.2f})"
    verdict = f"target {row.faster:.1f}: {'met' if faster >= row.faster else 'not met'}"
    write(f"{name:<15} {faster:.2f} times the images/s {spread:<15} {verdict}")
    gib = f"{figures[f'{HYBRID} GiB']:.2f} of {figures[f'{FAITHFUL} GiB']:.2f} GiB"
    limit = f"target {row.memory}: {'met' if memory <= row.memory else 'not met'}" if row.memory else ""
    write(f"{'':<15} {memory:.2f} of the peak memory {f'({gib})':<15} {limit}".rstrip())


def write(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure, print the table, and optionally write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=f"{', '.join(ROWS)}")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each network; the median ratio counts")
    parser.add_argument("--peaks", type=int, default=3, help="processes whose peaks are measured; they differ by 1 %%")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--tiny", action="store_true", help="use tiny networks, to test the script")
    parser.add_argument("--part", choices=["turns", FAITHFUL, HYBRID], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        row, tiny = ROWS[arguments.only[0]], arguments.tiny
        one = arguments.part == "turns"
        found = take_turns(row, arguments.repeats, tiny=tiny) if one else peak(row, arguments.part, tiny=tiny)
        write(json.dumps(found))
        return
    date, load = datetime.now(UTC).date().isoformat(), os.getloadavg()[0]
    write(f"{cpu_name()}, {os.cpu_count()} cores, load before {load:.2f}, swincli {__version__}, {date}\n")
    results: dict[str, dict[str, float]] = {}
    for name in arguments.only:
        results[name] = measure(name, arguments)
        show(name, ROWS[name], results[name])
    if arguments.json:
        arguments.json.write_text(json.dumps({"date": date, "load_before": load, "rows": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
