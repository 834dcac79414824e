"""Training beside another program that keeps one core busy, with different ways for OpenMP's threads to wait.

    python benchmarks/busy.py [--images 640] [--rounds 3] [--recipe quickstart-faces]

Every setting trains the same images in a process of its own, on an otherwise idle machine and beside one busy process.
The settings take turns, so that all of them meet the same disturbances. Times are medians over the logged steps of all
rounds, without the first ones of each run. The last column says whether the losses are the same to the bit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swincli.system.openmp import USER_SETTINGS
from swincli.system.resources import cpu_name

SETTINGS: dict[str, dict[str, str]] = {
    "swincli": {},
    "libgomp's default (spins 3 ms)": {"GOMP_SPINCOUNT": "300000"},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}
OURS = "swincli"
IDLE_TARGET, BUSY_TARGET = 1.1, 1.7
LOG = 160
BUSY = "while True: pass"


@contextmanager
def busy_process(wanted: bool) -> Iterator[None]:
    """Keep one core busy in the block."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def train(recipe: str, images: int, setting: dict[str, str]) -> tuple[list[float], list[float]]:
    """Train in a new process; returns seconds per 1,000 images and D's loss of each log entry."""
    environment = {name: value for name, value in os.environ.items() if name not in USER_SETTINGS} | setting
    with tempfile.TemporaryDirectory() as folder:
        changes = {
            "train.total": images,
            "train.decay_from": "null",
            "run.log": LOG,
            "run.samples": images,
            "run.snapshot": images,
        }
        command = [sys.executable, "-m", "swincli", "train", recipe, "--out", folder + "/run", "--quiet"]
        for key, value in changes.items():
            command += ["--set", f"{key}={value}"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        entries = [json.loads(line) for line in Path(folder, "run", "stats.jsonl").read_text().splitlines()]
    return [entry["sec_per_kimg"] for entry in entries[1:]], [entry["loss/d"] for entry in entries]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4 * LOG)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipe", default="quickstart-faces")
    options = parser.parse_args()
    write(f"{cpu_name()}, {os.cpu_count()} cores, load before {os.getloadavg()[0]:.2f}")
    times: dict[tuple[str, bool], list[float]] = {(name, busy): [] for name in SETTINGS for busy in (False, True)}
    losses = []
    for _ in range(options.rounds):
        for name, busy in times:
            with busy_process(busy):
                seconds, loss = train(options.recipe, options.images, SETTINGS[name])
            times[name, busy] += seconds
            losses.append(loss)
    show({key: statistics.median(values) for key, values in times.items()})
    write("same losses to the bit: " + ("yes" if all(loss == losses[0] for loss in losses) else "NO"))


def show(medians: dict[tuple[str, bool], float]) -> None:
    """Print the table of seconds per 1,000 images, and whether the targets are reached."""
    best = min(value for (_, busy), value in medians.items() if not busy)
    write(f"{'waiting':<34}{'idle':>8}{'x best':>8}{'beside one':>12}{'x best idle':>13}  (seconds per 1,000 images)")
    for name in SETTINGS:
        idle, busy = medians[name, False], medians[name, True]
        write(f"{name:<34}{idle:>8.1f}{idle / best:>8.2f}{busy:>12.1f}{busy / best:>13.2f}")
    reached = medians[OURS, False] <= IDLE_TARGET * best and medians[OURS, True] <= BUSY_TARGET * best
    write(f"targets: {IDLE_TARGET} idle, {BUSY_TARGET} busy: {'reached' if reached else 'not reached'}")


def write(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
