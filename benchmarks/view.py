"""How fast `swincli view` answers: the first picture, a slider to its picture, and the grid of small pictures.

    python benchmarks/view.py [MODEL ...] [--repeats 50] [--json FILE]

It starts the command as a user does, and talks to it as the page does. Times are of the whole way: the request, the
queue, the drawing, the encoding, the answer. Decoding in a browser is not in them. Run it on an idle machine. Text goes
to stderr and JSON to stdout, or to FILE.
"""

from __future__ import annotations

import argparse
import json
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

from swincli.system.resources import cpu_name, usable_cores
from swincli.version import __version__

TARGET = 0.150  # seconds from a slider to its picture, for the quickstart's model on two cores
MODELS = ("builtin:cats32", "builtin:cats64")
SLIDERS = {
    "another seed": "seed={0}",
    "truncation": "seed=1&truncation=0.{0:03d}",
    "mixing of the first level": "seed=1&mix=2@0:0.{0:03d}",
    "mixing of the last level": "seed=1&mix=2@{last}:0.{0:03d}",
    "a direction": "seed=1&edit=pca:0@all=0.{0:03d}",
}
WHILE_GRID = "another seed while the grid is drawn"
TILES = 60

Figures = dict[str, float]


class Channel:
    """The WebSocket of a page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0

    def send(self, slot: str, **request: Any) -> int:
        """Ask for something and return the number of the request."""
        self._number += 1
        self._socket.send(json.dumps({"slot": slot, "number": self._number, **request}))
        return self._number

    def answers(self, number: int) -> Iterator[dict[str, Any]]:
        """Headers of the answers to a request, until the last one."""
        while True:
            content = self._socket.recv()
            assert isinstance(content, bytes), content
            header = json.loads(content[4 : 4 + struct.unpack("<I", content[:4])[0]])
            if "error" in header:
                raise SystemExit(header["error"])
            if header["number"] == number:
                yield header
                if not header.get("preview") and header.get("last", True):
                    return

    def picture(self, look: str) -> tuple[float, float]:
        """Seconds until the first answer (a preview for large models) and until the whole picture."""
        start = time.perf_counter()
        times = [time.perf_counter() - start for _ in self.answers(self.send("picture", kind="picture", look=look))]
        return times[0], times[-1]

    def grid(self, look: str, first: int) -> int:
        """Ask for a grid of small pictures."""
        return self.send("grid", kind="tiles", look=look, seeds=list(range(first, first + TILES)))


def summary(times: list[float]) -> Figures:
    """Median and 95th percentile."""
    ordered = sorted(times)
    return {"p50": statistics.median(ordered), "p95": ordered[int(0.95 * (len(ordered) - 1) + 0.5)]}


def measure_page(channel: Channel, last: int, repeats: int) -> dict[str, Figures]:
    """Seconds by what is done on the page."""
    found = {}
    for name, look in SLIDERS.items():
        channel.picture(look.format(999, last=last))
        times = [channel.picture(look.format(index, last=last)) for index in range(1, repeats + 1)]
        found[name] = summary([whole for _, whole in times])
        found[f"{name}, first answer"] = summary([first for first, _ in times])
    start = time.perf_counter()
    list(channel.answers(channel.grid("truncation=0.9", 0)))
    found[f"a grid of {TILES}"] = {"p50": time.perf_counter() - start}
    times = []
    for index in range(repeats):
        channel.grid(f"truncation=0.{index + 100}", 0)
        time.sleep(0.02)  # the grid is being drawn
        times.append(channel.picture(f"seed={1000 + index}"))
    found[WHILE_GRID] = summary([whole for _, whole in times])
    found[f"{WHILE_GRID}, first answer"] = summary([first for first, _ in times])
    return found


def measure(model: str, repeats: int) -> dict[str, Any]:
    """What a model takes from the command on: seconds by kind, and the model's size."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "swincli", "view", model, "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip().rstrip("/")
            if not address:
                raise SystemExit(f"swincli view {model} did not start")
            with connect(f"ws{address.removeprefix('http')}/api/socket", origin=address, max_size=None) as socket:  # type: ignore[arg-type]
                channel = Channel(socket)
                channel.picture("seed=0")
                first = time.perf_counter() - start
                with urlopen(f"{address}/api/about") as answer:
                    facts = json.loads(answer.read())["model"]
                page = measure_page(channel, len(facts["levels"]) - 1, repeats)
            return {"size": facts["size"], "seconds": {"the command to the first picture": {"p50": first}, **page}}
        finally:
            server.terminate()


def main() -> int:
    """Measure and print; 1 if a slider's median misses the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found, slow = {}, []
    for model in options.models:
        found[model] = measure(model, options.repeats)
        sys.stderr.write(f"{model} ({found[model]['size']} px)\n")
        for name, figures in found[model]["seconds"].items():
            words = "".join(f"{kind} {1000 * value:8.1f} ms  " for kind, value in figures.items())
            sys.stderr.write(f"  {name:<52}{words.rstrip()}\n")
        names = (f"{name}, first answer" for name in (*SLIDERS, WHILE_GRID))
        slow += [f"{model}: {name}" for name in names if found[model]["seconds"][name]["p50"] > TARGET]
    report = {"version": __version__, "cpu": cpu_name(), "cores": usable_cores(), "target": TARGET, "models": found}
    text = json.dumps(report, indent=2) + "\n"
    if options.json is None:
        sys.stdout.write(text)
    else:
        options.json.write_text(text)
    for name in slow:
        sys.stderr.write(f"over {1000 * TARGET:.0f} ms: {name}\n")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
