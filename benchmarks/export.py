"""An exported ONNX file beside PyTorch: images per second, peak memory, file size.

    python benchmarks/export.py [MODEL] [--batch 8] [--repeats 5] [--precision fp32] [--json FILE]

Speed: both sides draw the same codes in one process and take turns, and the figure is the median. PyTorch is the way of
`swincli sample` on a CPU (in tiles); onnxruntime has as many threads. Peak memory is the largest resident set of a
process that draws one batch by one of the two, once its model is open, with the libraries that this takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from measuring import peak_memory, seconds_of

from swincli.api.export import export
from swincli.api.model import load_model
from swincli.exporting.agreement import Run, expected_output, inputs_of_seeds
from swincli.exporting.graphs import Graph, make_graph
from swincli.exporting.onnx_file import open_onnx
from swincli.model.files.model_file import Model
from swincli.system.resources import cpu_name
from swincli.version import __version__

SIDES = ("pytorch", "onnx")


def out(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def opened(side: str, model: Model, graph: Graph, path: Path) -> Run:
    """What draws the images of a side."""
    if side == "onnx":
        return open_onnx(path, graph, str(path))
    return lambda inputs: expected_output(model, graph, inputs)


def peak_of(side: str, checkpoint: str, path: Path, batch: int) -> int:
    """Peak memory of a process that draws one batch, in bytes."""
    words = [sys.executable, __file__, checkpoint, "--batch", str(batch), "--peak-of", side, "--file", str(path)]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Export a model, and measure both sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="builtin:cats32")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="fp32")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak-of", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    model = load_model(given.model, "cpu").core
    graph = make_graph(model, "z")
    inputs = inputs_of_seeds(model, graph, range(given.batch), 0.7, model.recipe.model.num_ws)
    if given.peak_of:
        opened(given.peak_of, model, graph, given.file)(inputs)
        out(str(peak_memory()))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        facts = export(given.model, path, precision=given.precision)
        runs = [opened(side, model, graph, path) for side in SIDES]
        seconds = seconds_of([lambda run=run: run(inputs) for run in runs], given.repeats)
        figures: dict[str, Any] = {
            "model": given.model,
            "batch": given.batch,
            "precision": given.precision,
            "images_per_second": {side: given.batch / each for side, each in zip(SIDES, seconds, strict=True)},
            "peak_mib": {side: peak_of(side, given.model, path, given.batch) / 2**20 for side in SIDES},
            "file_mib": {"onnx": path.stat().st_size / 2**20, "model": model.path.stat().st_size / 2**20},
            "largest_difference": facts["largest_difference"],
            "machine": f"{cpu_name()}, {torch.get_num_threads()} threads",
            "swincli": __version__,
        }
    text = json.dumps(figures, indent=1)
    out(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
