"""How fast `swincli view` answers: the first picture, and the picture after a slider is moved.

It starts the command as a user does, and talks to it as the page does. Times are of the whole way: the request, the
queue, the network, the encoding. Run it on an idle machine.

    python benchmarks/view.py [MODEL] [--repeats 50] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

TARGET = 0.150  # seconds from a slider to its picture, for the quickstart's model on two cores
CHANGES = {
    "another seed": "seed={0}",
    "truncation": "seed=1&truncation=0.{0:03d}",
    "mixing of the last level": "seed=1&mix=2@{last}:0.{0:03d}",
    "a direction": "seed=1&edit=pca:0@all=0.{0:03d}",
}


def ask(socket: ClientConnection, number: int, look: str) -> tuple[float, float]:
    """Seconds until the first answer (a preview for large models) and until the whole picture."""
    start = time.perf_counter()
    socket.send(json.dumps({"slot": "picture", "number": number, "kind": "picture", "look": look}))
    first = None
    while True:
        content = socket.recv()
        passed = time.perf_counter() - start
        first = passed if first is None else first
        assert isinstance(content, bytes), content
        header = json.loads(content[4 : 4 + struct.unpack("<I", content[:4])[0]])
        if "error" in header:
            raise SystemExit(header["error"])
        if not header["preview"]:
            return first, passed


def measure(model: str, repeats: int) -> dict[str, dict[str, float]]:
    """Median and 95th percentile in seconds by kind of change, and the time from the command to the first picture."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "swincli", "view", model, "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            if not address:
                raise SystemExit("swincli view did not start")
            origin = address.rstrip("/")
            with connect(f"{origin.replace('http', 'ws')}/api/socket", origin=origin, max_size=None) as socket:
                number = 1
                ask(socket, number, "seed=0")
                found = {"from the command to the first picture": {"median": time.perf_counter() - start}}
                for name, look in CHANGES.items():
                    looks = [look.format(index, last=2) for index in range(1, repeats + 2)]
                    ask(socket, number := number + 1, looks.pop())
                    times = [ask(socket, number := number + 1, each) for each in looks]
                    for kind, column in zip(
                        ("", ", first answer"), ([b for _, b in times], [a for a, _ in times]), strict=True
                    ):
                        ordered = sorted(column)
                        found[name + kind] = {
                            "median": statistics.median(ordered),
                            "p95": ordered[int(0.95 * (len(ordered) - 1))],
                        }
            return found
        finally:
            server.terminate()


def main() -> int:
    """Measure and print; 1 if a slider's median misses the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="builtin:cats32")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.model, options.repeats)
    for name, figures in found.items():
        sys.stdout.write(
            f"{name:<44}" + "".join(f"{kind} {1000 * value:8.1f} ms  " for kind, value in figures.items()) + "\n"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    slow = [name for name in CHANGES if found[f"{name}, first answer"]["median"] > TARGET]
    if slow:
        sys.stdout.write(f"over {1000 * TARGET:.0f} ms: {', '.join(slow)}\n")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
