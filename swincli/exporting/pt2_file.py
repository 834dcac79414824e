"""`.pt2` files: a generator's graph by torch.export, for PyTorch without swincli's code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swincli.errors import CheckpointError
from swincli.exporting.agreement import Inputs, Run
from swincli.exporting.graphs import Graph, trace
from swincli.exporting.quiet import first_line, quiet

NOTE_FILE = "swincli.json"
"""Name of the note among the extra files of the archive."""


def save_pt2(path: Path, graph: Graph, note: Mapping[str, Any], name: str) -> None:
    """Write a graph as a `.pt2` file, with its note as the extra file `swincli.json`.

    Raises:
        CheckpointError: torch.export cannot trace this network; the message begins with `name`.
        OSError: the file cannot be written.
    """
    try:
        with quiet(), path.open("wb") as file:
            extra = {NOTE_FILE: json.dumps(note, ensure_ascii=False)}
            torch.export.save(trace(graph), file, extra_files=extra)
    except OSError:
        raise
    except Exception as error:  # the exporter's errors have no common type
        raise CheckpointError(f"{name}: PyTorch cannot export these networks: {first_line(error)}") from error


def open_pt2(path: Path, graph: Graph) -> Run:
    """A function that runs a `.pt2` file of a graph."""
    with quiet(), path.open("rb") as file:
        module = torch.export.load(file).module()

    def run(inputs: Inputs) -> np.ndarray[Any, np.dtype[np.float32]]:
        with torch.inference_mode():
            found: torch.Tensor = module(*(torch.from_numpy(np.asarray(inputs[name])) for name in graph.inputs))
        return found.numpy()

    return run
