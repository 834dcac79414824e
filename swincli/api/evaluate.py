"""`swincli.evaluate`: the result of `swincli evaluate --json`, for images in memory too."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from swincli.api.model import LoadedModel
from swincli.commands.evaluate.request import EvaluateRequest
from swincli.commands.evaluate.run import run
from swincli.console import Console
from swincli.errors import DataError, UsageError
from swincli.metrics.streams.images import ImageStream, draw_fakes, drawn_record, stream_batches
from swincli.system import runtime

IN_MEMORY = "images in memory"
"""What the protocol names as the source of an array."""


def evaluate(
    images: NDArray[np.uint8] | LoadedModel | str | PathLike[str],
    data: str | PathLike[str] | None = None,
    metrics: Sequence[str] = ("fid",),
    *,
    reference: str | PathLike[str] | None = None,
    num: int | None = None,
    num_reference: int | None = None,
    seed: int = 0,
    truncation: float = 1.0,
    by_class: str | None = None,
    protocol: str | None = None,
    detector: str = "inception",
    detector_size: int | None = None,
    detector_pixels: Literal["imagenet", "clip", "inception", "0-1", "0-255"] | None = None,
    detector_weights: str | PathLike[str] | None = None,
    intervals: bool | None = None,
    plots: str | PathLike[str] | None = None,
    batch: int | None = None,
    force: bool = False,
    device: str = "auto",
    quiet: bool = True,
) -> dict[str, Any]:
    """Measure images against real ones, as `swincli evaluate` does, to the same digits.

    Args:
        images: The images to judge: an array uint8 `[N, H, W, 3]`, a model of `swincli.load_model`, or the path of a
            folder, a store or an archive.
        data: The real images: a store, a folder or an archive.
        metrics: Names as after `--metric`, such as "fid", "kid", "pr".
        reference: Statistics instead of `data`: a `.npz` file.
        num: Number of images to judge; 50,000 by default, or all if there are fewer. For a model, the number of seeds.
        num_reference: Number of real images to draw from `data`; all by default.
        seed: A model draws seeds `seed * num` to `seed * num + num - 1`; other images are drawn at random with it.
        truncation: Of a model's images; other images cannot be truncated.
        by_class: FID inside each class too: the name of an attribute, or "class" for a model with classes.
        protocol: "styleswin" or "full": standard numbers of images.
        detector: "inception", "efficientnet", "gist", or the path of a TorchScript file.
        detector_size: Input side of a TorchScript detector in pixels.
        detector_pixels: Pixel normalisation of a TorchScript detector.
        detector_weights: Another file for Inception's weights.
        intervals: Add 95 % confidence intervals; None adds them where a metric has few images.
        plots: Folder for plots and example images.
        batch: Images per batch.
        force: Overwrite files in `plots` that no earlier evaluation made.
        device: "auto" takes CUDA, then MPS, then the CPU. A model is judged on its own device.
        quiet: Print nothing but warnings, which go to stderr.

    Returns:
        The object of `swincli evaluate --json`: "metrics" (values by name), "intervals", "protocol", "cautions". Values
        that are not finite stay NaN or infinity.

    Raises:
        UsageError: options that contradict each other, or an unknown metric.
        DataError: images that cannot be read, or an array of another shape or type.
        ResourceError: weights are missing.
    """
    path = str(images) if isinstance(images, str | PathLike) else None
    request = EvaluateRequest(
        images=path,
        num=None if num is None else str(num),
        seed=seed,
        truncation=truncation,
        data=None if data is None else str(data),
        reference=None if reference is None else Path(reference),
        num_reference=None if num_reference is None else str(num_reference),
        metric=",".join(metrics),
        by_class=by_class,
        protocol=protocol,
        detector=detector,
        detector_size=detector_size,
        detector_pixels=detector_pixels,
        detector_weights=None if detector_weights is None else Path(detector_weights),
        intervals=intervals,
        plots=None if plots is None else Path(plots),
        batch=batch,
        force=force,
    )
    request.check()
    if path is None and not isinstance(images, LoadedModel) and truncation != 1.0:
        raise UsageError(f"truncation {truncation:g}: cannot be combined with {IN_MEMORY}", "Leave it out.")
    runtime.configure()
    console = Console(quiet=quiet)
    if isinstance(images, LoadedModel):
        return run(request, images.core.device, console, fakes=images.core).facts
    fakes = None if path is not None else _stream(images, request.numbers.num, seed)
    return run(request, runtime.choose_device(device), console, fakes=fakes).facts


def _stream(images: Any, num: int, seed: int) -> ImageStream:
    """An array as the fakes; a random subset of `num` if it has more."""
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or len(array) < 2:
        raise DataError(
            f"{IN_MEMORY}: {array.dtype} of shape {list(array.shape)}; metrics take uint8 [N, H, W, 3], N at least 2",
            "For example (images * 255).round().clip(0, 255).astype('uint8').",
        )
    resolution = array.shape[1] if array.shape[1] == array.shape[2] else None
    record = drawn_record(IN_MEMORY, len(array), num, resolution, seed)
    chosen = array[draw_fakes(len(array), num, seed)]
    return stream_batches([torch.from_numpy(np.ascontiguousarray(chosen))], record)
