"""Detectors: networks that extract one feature vector per image, and class logits if they are classifiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.errors import ResourceError
from swincli.metrics.networks.gist import Gist
from swincli.metrics.networks.resize import Resize, choose_resize
from swincli.metrics.networks.weight_files import DetectorWeights
from swincli.model.pretrained.efficientnet import load_efficientnet
from swincli.model.pretrained.packaged import first_line, load_torchscript
from swincli.ops.precision import exact_float32

Network = Callable[[Tensor], tuple[Tensor, Tensor | None]]

PIXEL_NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "inception": ((128.0,) * 3, (128.0,) * 3),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "clip": ((122.771, 116.746, 104.094), (68.501, 66.632, 70.323)),
    "0-1": ((0.0,) * 3, (255.0,) * 3),
    "0-255": ((0.0,) * 3, (1.0,) * 3),
}
"""Normalisation that a TorchScript detector expects: mean and standard deviation of pixels from 0 to 255."""


@dataclass(frozen=True, eq=False)
class DetectorOutput:
    """Output of a detector for B images: float32 features [B, D], and logits [B, C] or None."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32] | None


@dataclass(frozen=True)
class Detector:
    """A loaded detector.

    Attributes:
        name: Name in the protocol.
        sha256: SHA-256 of its file.
        width: Length D of a feature vector.
        device: Device of the network.
        resize: Resize to its input size.
        network: Maps float32 [B, 3, side, side] of 0 to 255 to features [B, ...] and logits [B, C] or None.
        classes: Number of classes C; 0 without logits.
        pixels: A key of `PIXEL_NORMALISATIONS`; None if the network normalises by itself.
    """

    name: str
    sha256: str
    width: int
    device: torch.device
    resize: Resize
    network: Network
    classes: int = 0
    pixels: str | None = None

    def detect(self, images: Tensor) -> DetectorOutput:
        """Features and logits of images [B, 3, side, side] of 0 to 255, in float32 whatever the caller's settings."""
        return _run(self.network, images)


def load_detector(weights: DetectorWeights, device: torch.device, resize: Resize | None = None) -> Detector:
    """Load a detector onto a device.

    A TorchScript file is code and can do anything when it runs.

    Args:
        weights: The file. A TorchScript network with an argument `return_features` (clean-fid's and NVIDIA's files)
            resizes by itself; of these the submodule `layers` is used. Others take normalised images.
        device: Device of the network.
        resize: Resize to its input size; None chooses by device.

    Raises:
        ResourceError: the file is another network, or does not map images to features.
    """
    if weights.kind == "efficientnet":
        network: Network = load_efficientnet(weights.path, device)
        pixels = None
    elif weights.kind == "gist":
        network, pixels = Gist().to(device), None
    else:
        network, pixels = _load_torchscript(weights, device), weights.pixels
    hint = _hint(weights)
    try:
        probe = _run(network, torch.zeros(2, 3, weights.side, weights.side, device=device))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ResourceError(f"{weights.path}: does not map images to features ({first_line(error)})", hint) from None
    shapes = [value.shape for value in (probe.features, probe.logits) if value is not None]
    if any(len(shape) != 2 or shape[0] != 2 for shape in shapes):
        found = " and ".join(map(str, map(list, shapes)))
        raise ResourceError(f"{weights.path}: gives outputs of shape {found} for 2 images", hint)
    classes = 0 if probe.logits is None else probe.logits.shape[1]
    resize = resize or choose_resize(device, weights.side)
    return Detector(weights.name, weights.sha256, probe.features.shape[1], device, resize, network, classes, pixels)


def _load_torchscript(weights: DetectorWeights, device: torch.device) -> Network:
    module = load_torchscript(weights.path, device, _hint(weights))
    resizes_itself = any(argument.name == "return_features" for argument in module.forward.schema.arguments)
    script = module.layers if resizes_itself else module
    mean, deviation = (
        torch.tensor(value, device=device).view(1, 3, 1, 1) for value in PIXEL_NORMALISATIONS[weights.pixels]
    )

    def network(images: Tensor) -> tuple[Tensor, Tensor | None]:
        out = script((images - mean) / deviation)
        return out if isinstance(out, tuple) else (out, None)

    return network


def _hint(weights: DetectorWeights) -> str:
    side = weights.side
    return f"A detector maps float32 [N, 3, {side}, {side}] to features [N, D], or to features and logits [N, C]."


def _run(network: Network, images: Tensor) -> DetectorOutput:
    with torch.inference_mode(), exact_float32(images.device):
        features, logits = network(images.float())
        return DetectorOutput(_array(features.flatten(1)), None if logits is None else _array(logits))


def _array(values: Tensor) -> NDArray[np.float32]:
    out: NDArray[np.float32] = values.float().cpu().numpy()
    return out
