"""ONNX files: a generator's graph by PyTorch's exporter, checked by onnxruntime before the file has its name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swincli.errors import CheckpointError, UsageError
from swincli.exporting.agreement import Inputs, Run
from swincli.exporting.graphs import Graph, trace
from swincli.exporting.quiet import first_line, quiet
from swincli.version import __version__

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
DEFAULT_OPSET = 20
OLDEST_OPSET = 18
"""PyTorch's exporter writes no older one."""

NOTE = "swincli"
"""Key of the note in a file's metadata."""


def check_opset(opset: int) -> None:
    """Check `--opset`.

    Raises:
        UsageError: the installed packages cannot write this version of ONNX's operators.
    """
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        age = "old" if opset < OLDEST_OPSET else "new"
        raise UsageError(f"--opset {opset}: too {age}", f"Give {OLDEST_OPSET} to {newest}; {DEFAULT_OPSET} by default.")


def save_onnx(path: Path, graph: Graph, note: Mapping[str, Any], name: str, opset: int = DEFAULT_OPSET) -> None:
    """Write a graph as one ONNX file, with its note as JSON in the metadata `swincli`.

    Raises:
        CheckpointError: the exporter cannot write this network; the message begins with `name`.
        OSError: the file cannot be written.
    """
    import onnx

    with quiet():
        try:
            program = torch.onnx.export(
                trace(graph),
                (),
                dynamo=True,
                optimize=True,
                verbose=False,
                opset_version=opset,
                input_names=list(graph.inputs),
                output_names=[graph.output],
            )
            assert program is not None
            proto = program.model_proto
        except Exception as error:  # the exporter's errors have no common type
            raise CheckpointError(f"{name}: PyTorch cannot export these networks: {first_line(error)}") from error
    written = next(each.version for each in proto.opset_import if each.domain in ("", "ai.onnx"))
    if written != opset:
        raise UsageError(f"--opset {opset}: this network needs version {written}", f"Give --opset {written}.")
    _name_the_batch(proto)
    proto.producer_name, proto.producer_version = "swincli", __version__
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {NOTE: json.dumps(note, ensure_ascii=False)})
    path.write_bytes(proto.SerializeToString())


def _name_the_batch(proto: Any) -> None:
    """Call the number of images "batch" in all shapes, in place of the symbol that torch.export has made up."""
    (symbol,) = {each.type.tensor_type.shape.dim[0].dim_param for each in proto.graph.output}
    for each in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for length in each.type.tensor_type.shape.dim:
            if length.dim_param:
                length.dim_param = re.sub(rf"\b{re.escape(symbol)}\b", "batch", length.dim_param)


def open_onnx(path: Path, graph: Graph, name: str) -> Run:
    """A function that runs an ONNX file of a graph by onnxruntime on the CPU.

    Raises:
        CheckpointError: the file breaks ONNX's rules or onnxruntime cannot run it; the message begins with `name`.
    """
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        onnx.checker.check_model(str(path))
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common type
        raise CheckpointError(f"{name}: onnxruntime cannot run the graph: {first_line(error)}") from error

    def run(inputs: Inputs) -> np.ndarray[Any, np.dtype[np.float32]]:
        (output,) = session.run([graph.output], dict(inputs))
        found: np.ndarray[Any, np.dtype[np.float32]] = output
        return found

    return run
