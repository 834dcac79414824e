"""ONNX files with float16 or int8 weights, and the gate that they must pass: PSNR and FID against PyTorch's images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.errors import CheckpointError
from swincli.exporting.agreement import Agreement, Run, expected_output, inputs_of_seeds, to_bytes
from swincli.exporting.graphs import Graph
from swincli.exporting.quiet import quiet
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.streams.features import Loader, compute_statistics
from swincli.model.files.model_file import Model
from swincli.synthesis.sampling import default_sampling_batch

LEAST_PSNR, MOST_FID = 30.0, 1.0
"""The gate: the least PSNR of 16 images in dB, and FID between the images of the same seeds."""

DETECTOR_BATCH = 32


def to_float16(source: Path, dest: Path) -> None:
    """Write an ONNX file with weights and most operations in float16; inputs, output and norms stay float32."""
    import onnx
    import onnx_ir
    from onnxruntime.transformers import float16

    with quiet():
        proto = float16.convert_float_to_float16(
            onnx.load(str(source)),
            keep_io_types=True,
            op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, "LayerNormalization", "ReduceMean", "Resize"],
        )
        model = onnx_ir.serde.deserialize_model(proto)
        model.graph.sort()  # the casts of the inputs stand at the end
        dest.write_bytes(onnx_ir.serde.serialize_model(model).SerializeToString())


def to_int8(source: Path, dest: Path) -> None:
    """Write an ONNX file whose products of maps with weights are int8: a scale a channel, activations as they come.

    The mapping network and the styles, which are products of single codes (Gemm), stay float32.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(
            onnx.load(str(source)),
            str(dest),
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )


PRECISIONS: dict[str, Callable[[Path, Path], None]] = {"fp16": to_float16, "int8": to_int8}
"""What makes a file of a precision below float32 from the float32 file."""


@dataclass(frozen=True)
class Fidelity:
    """How near the images of a lower precision are: the least PSNR of 16 in dB, and FID of so many images."""

    psnr: float
    fid: float | None
    images: int


def check_psnr(name: str, precision: str, found: Agreement) -> None:
    """The first half of the gate.

    Raises:
        CheckpointError: an image is too far from PyTorch's; `name` is the file that was to be written.
    """
    if found.psnr < LEAST_PSNR:
        raise _refused(name, precision, f"PSNR {found.psnr:.1f} dB (the least of 16 images), at least {LEAST_PSNR:g}")


def check_fid(name: str, precision: str, fidelity: Fidelity) -> None:
    """The second half of the gate.

    Raises:
        CheckpointError: the images as a whole are too far from PyTorch's.
    """
    if fidelity.fid is None or not fidelity.fid <= MOST_FID:
        figures = f"FID {fidelity.fid:.2f} between {fidelity.images:,} images of each, at most {MOST_FID:g}"
        raise _refused(name, precision, f"PSNR {fidelity.psnr:.1f} dB; {figures}")


def _refused(name: str, precision: str, figures: str) -> CheckpointError:
    return CheckpointError(f"{name}: not written, {precision} changes the images: {figures}", "Use --precision fp32.")


def fid_between(model: Model, graph: Graph, run: Run, detector: Detector, images: int, console: Console) -> float:
    """FID between PyTorch's images of seeds 0 to `images` - 1 and those of an exported graph."""
    count, step = model.recipe.model.num_ws, default_sampling_batch(model.recipe.model.size)
    spans = [range(start, min(start + step, images)) for start in range(0, images, step)]
    sides: tuple[Run, Run] = (partial(expected_output, model, graph), run)
    moments: list[Moments] = []
    with console.progress("FID of both sides", 2 * images) as advance:
        for side in sides:
            batches = (to_bytes(side(inputs_of_seeds(model, graph, span, 1.0, count))) for span in spans)
            found = compute_statistics(_loaders(batches), detector, frozenset({"moments"}), DETECTOR_BATCH, advance)
            assert found.moments is not None
            moments.append(found.moments)
    return frechet_distance(*moments)


def _loaders(batches: Iterable[NDArray[np.uint8]]) -> Iterator[Loader]:
    for batch in batches:
        for image in batch:
            yield partial(np.asarray, image)
