"""How close swincli comes to what the machine can do: one table, measured in one run.

    python benchmarks/speed.py [--only NAME ...] [--repeats 3] [--json FILE] [--compare FILE] [--tiny]

Shares are of the rate of a float32 matrix product on the same threads, taken just before and after each work, so that
runs on busy or different machines can be compared. `arithmetic.py` counts what is computed: a training step as four
forwards of G and eight of D an image. Every work (`works.py`) has a process of its own, and its peak memory is that
process's largest resident set. Times are medians, after one call that is not counted. `targets.py` holds what is aimed
at. With --tiny all of it runs in a minute, with networks so small that the figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from targets import TABLE, Figure

from swincli import __version__

CPUINFO = Path("/proc/cpuinfo")

Results = dict[str, dict[str, float]]


def processor() -> str:
    """The processor's name, where the system tells it."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def measure(name: str, repeats: int, *, tiny: bool) -> dict[str, Any] | None:
    """The result of one work, measured in a process of its own; None where it fails, after saying why."""
    script = Path(__file__).with_name("works.py")
    command = [sys.executable, str(script), name, "--repeats", str(repeats), *(["--tiny"] if tiny else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{name} failed:\n{done.stderr}\n")
        return None
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def row(title: str, figure: Figure, value: float, earlier: float | None) -> str:
    """A line of the table."""
    change = "" if earlier is None else f"was {figure.text(earlier)}"
    if earlier:
        change += f" ({value / earlier:.2f}x)"
    measured = f"{title:<47}{figure.label:<31}{figure.text(value):>22}"
    return f"{measured}  {figure.target():<25}{figure.verdict(value):<9}{change}".rstrip() + "\n"


def show(name: str, figures: dict[str, float], earlier: dict[str, float]) -> None:
    """Print the lines of a work; its title stands in the first."""
    title, shown = TABLE[name]
    for figure in shown:
        if figure.name in figures:  # at another size, some have another name
            sys.stdout.write(row(title, figure, figures[figure.name], earlier.get(figure.name)))
            title = ""
    sys.stdout.flush()


def describe(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"PyTorch {machine['pytorch']}, swincli {machine['swincli']}, {machine['date']}"
    )


def measure_all(names: list[str], repeats: int, *, tiny: bool, earlier: Results) -> tuple[dict[str, Any], Results]:
    """Measure and show works one by one; returns the machine and the figures of those that did not fail."""
    machine: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "swincli": __version__,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    results: Results = {}
    for name in names:
        result = measure(name, repeats, tiny=tiny)
        if result is None:
            continue
        if not results:
            machine |= {"threads": result["threads"], "pytorch": result["pytorch"]}
            sys.stdout.write(f"{describe(machine)}\n\n")
        results[name] = result["figures"]
        show(name, results[name], earlier.get(name, {}))
    return machine, results


def read_arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TABLE, metavar="NAME", help=f"works, of {', '.join(TABLE)}")
    parser.add_argument("--repeats", type=int, default=3, help="timings of each work; their median counts")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    parser.add_argument("--compare", type=Path, help="show the change against such a file")
    parser.add_argument("--tiny", action="store_true", help="run every line with tiny networks; figures mean nothing")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, and write or compare JSON where asked to; exit status 1 where a work failed."""
    arguments = read_arguments()
    earlier: Results = json.loads(arguments.compare.read_text())["works"] if arguments.compare else {}
    names = [name for name in TABLE if arguments.only is None or name in arguments.only]
    machine, results = measure_all(names, arguments.repeats, tiny=arguments.tiny, earlier=earlier)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "works": results}, indent=2) + "\n")
    sys.exit(len(results) < len(names))


if __name__ == "__main__":
    main()
