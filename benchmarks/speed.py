"""Speed of swincli relative to the matrix rate of the machine, as one table from one run.

    python benchmarks/speed.py [--only NAME ...] [--repeats 3] [--json FILE] [--compare FILE] [--tiny]

A share is relative to the rate of a float32 matrix product on the same threads, measured just before and after each
benchmark. So runs on busy or different machines can be compared. `arithmetic.py` counts multiply-adds: a training step
is four forwards of G and eight of D per image. Every benchmark (`works.py`) runs in its own process; its peak memory is
the largest resident set of that process. Times are medians after one warm-up call. `targets.py` holds the targets. With
--tiny everything runs in a minute on tiny networks, and the figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from targets import TABLE, Figure

from swincli.system.resources import cpu_name
from swincli.version import __version__

Results = dict[str, dict[str, float]]


def measure(name: str, repeats: int, *, tiny: bool) -> dict[str, Any] | None:
    """Run one benchmark in its own process and return its result; None if it failed, after printing why."""
    script = Path(__file__).with_name("works.py")
    command = [sys.executable, str(script), name, "--repeats", str(repeats), *(["--tiny"] if tiny else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{name} failed:\n{done.stderr}\n")
        return None
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def row(title: str, figure: Figure, value: float, earlier: float | None) -> str:
    """One line of the table."""
    change = "" if earlier is None else f"was {figure.text(earlier)}"
    if earlier:
        change += f" ({value / earlier:.2f}x)"
    measured = f"{title:<47}{figure.label:<31}{figure.text(value):>22}"
    return f"{measured}  {figure.target():<25}{figure.verdict(value):<9}{change}".rstrip() + "\n"


def show(name: str, figures: dict[str, float], earlier: dict[str, float]) -> None:
    """Print the lines of a benchmark; the first one has its title."""
    title, shown = TABLE[name]
    for figure in shown:
        if figure.name in figures:  # some figures have other names at other sizes
            sys.stdout.write(row(title, figure, figures[figure.name], earlier.get(figure.name)))
            title = ""
    sys.stdout.flush()


def describe(machine: dict[str, Any]) -> str:
    """Description of the machine in one line."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"PyTorch {machine['pytorch']}, swincli {machine['swincli']}, {machine['date']}"
    )


def measure_all(names: list[str], repeats: int, *, tiny: bool, earlier: Results) -> tuple[dict[str, Any], Results]:
    """Run and print the benchmarks one by one; returns the machine and the figures of those that succeeded."""
    machine: dict[str, Any] = {
        "processor": cpu_name(),
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
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TABLE, metavar="NAME", help=f"of {', '.join(TABLE)}")
    parser.add_argument("--repeats", type=int, default=3, help="timings per benchmark; the median counts")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--compare", type=Path, help="show the change relative to such a file")
    parser.add_argument("--tiny", action="store_true", help="use tiny networks, to test the script")
    return parser.parse_args()


def main() -> None:
    """Measure, print the table, and optionally write or compare JSON; exit status 1 if a benchmark failed."""
    arguments = read_arguments()
    earlier: Results = json.loads(arguments.compare.read_text())["works"] if arguments.compare else {}
    names = [name for name in TABLE if arguments.only is None or name in arguments.only]
    machine, results = measure_all(names, arguments.repeats, tiny=arguments.tiny, earlier=earlier)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "works": results}, indent=2) + "\n")
    sys.exit(len(results) < len(names))


if __name__ == "__main__":
    main()
