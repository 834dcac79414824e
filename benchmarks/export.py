"""An exported ONNX file beside PyTorch: images per second, peak memory, file size.

    python benchmarks/export.py [MODEL ...] [--batch 8] [--repeats 5] [--precision fp32] [--json FILE]

Without MODEL, both shipped models: about two minutes of an idle machine, most of them for the exporter.

Each side draws the same codes in processes of its own, which take turns; the speed is the median. In one process, the
threads of onnxruntime and of OpenMP would spin against each other: PyTorch was up to fifty times slower so. PyTorch is
the way of `swincli sample` on a CPU (in tiles, OpenMP set as by the command); onnxruntime has as many threads. Peak
memory is the largest resident set of such a process, with the libraries that it takes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from measuring import peak_memory, seconds_of

from swincli.api.export import export
from swincli.api.model import load_model
from swincli.exporting.agreement import Run, expected_output, inputs_of_seeds
from swincli.exporting.graphs import Graph, make_graph
from swincli.exporting.onnx_file import open_onnx
from swincli.model.files.model_file import Model
from swincli.system.openmp import OURS, user_setting
from swincli.system.resources import cpu_name
from swincli.version import __version__

MODELS = ("builtin:cats32", "builtin:cats64")
SIDES = ("pytorch", "onnx")
ROUNDS = 3  # processes of each side


def out(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def opened(side: str, model: Model, graph: Graph, path: Path) -> Run:
    """What draws the images of a side."""
    if side == "onnx":
        return open_onnx(path, graph, str(path))
    return lambda inputs: expected_output(model, graph, inputs)


def alone(side: str, checkpoint: str, path: Path, batch: int, repeats: int) -> dict[str, float]:
    """Seconds of a batch, and peak memory in bytes, of a process that draws by one side."""
    words = [sys.executable, __file__, checkpoint, "--batch", str(batch), "--repeats", str(repeats)]
    words += ["--side", side, "--file", str(path)]
    environment = os.environ | (OURS if user_setting() is None else {})  # to be set before PyTorch is loaded
    found = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout
    return dict(json.loads(found))


def draw_alone(side: str, checkpoint: str, path: Path, batch: int, repeats: int) -> None:
    """The work of such a process: draw, and print what it took as JSON."""
    model = load_model(checkpoint, "cpu").core
    graph = make_graph(model, "z")
    inputs = inputs_of_seeds(model, graph, range(batch), 0.7, model.recipe.model.num_ws)
    run = opened(side, model, graph, path)
    (seconds,) = seconds_of([lambda: run(inputs)], repeats)
    out(json.dumps({"seconds": seconds, "peak": peak_memory()}))


def measure(name: str, batch: int, repeats: int, precision: Literal["fp32", "fp16", "int8"]) -> dict[str, Any]:
    """Export a model, and measure both sides."""
    model = load_model(name, "cpu").core
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        facts = export(name, path, precision=precision)
        rounds = [{side: alone(side, name, path, batch, repeats) for side in SIDES} for _ in range(ROUNDS)]
        seconds = {side: statistics.median(each[side]["seconds"] for each in rounds) for side in SIDES}
        return {
            "model": name,
            "size": model.recipe.model.size,
            "batch": batch,
            "precision": precision,
            "images_per_second": {side: batch / seconds[side] for side in SIDES},
            "peak_mib": {side: rounds[0][side]["peak"] / 2**20 for side in SIDES},
            "file_mib": {"onnx": path.stat().st_size / 2**20, "model": model.path.stat().st_size / 2**20},
            "largest_difference": facts["largest_difference"],
        }


def show(figures: dict[str, Any]) -> None:
    """Print the figures of a model."""
    out(f"{figures['model']}, {figures['size']} px, batch {figures['batch']}, {figures['precision']}")
    for side in SIDES:
        rate, peak = figures["images_per_second"][side], figures["peak_mib"][side]
        out(f"  {side:8} {rate:8.1f} images/s  {peak:7.0f} MiB at most")
    files = figures["file_mib"]
    out(f"  file     {files['onnx']:.1f} MiB, the model's {files['model']:.1f} MiB")
    out(f"  the largest difference of a value is {figures['largest_difference']:.1g}")


def main() -> None:
    """Measure the models, print the figures, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="fp32")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        draw_alone(given.side, given.models[0], given.file, given.batch, given.repeats)
        return
    machine = f"{cpu_name()}, {torch.get_num_threads()} threads"
    out(f"swincli {__version__} on {machine}")
    rows = []
    for name in given.models or MODELS:
        rows.append(measure(name, given.batch, given.repeats, given.precision))
        show(rows[-1])
    if given.json:
        text = json.dumps({"machine": machine, "swincli": __version__, "models": rows}, indent=1)
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
