"""Feature networks of the projection loss: stlpips, the model's own discriminator, detectors, TorchScript files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.errors import ResourceError
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.networks.perceptual_input import averaged_down
from swincli.metrics.networks.resize import filter_weights
from swincli.metrics.networks.stlpips import PerceptualDistance
from swincli.model.blocks.conditioning import unknown_labels
from swincli.model.pretrained.packaged import first_line, load_torchscript
from swincli.recipe.schema import ModelSection

MIN_SIDE = 64  # pixels; networks for photographs see little in smaller images


def resize_for_network(images: Tensor, min_side: int = MIN_SIDE) -> Tensor:
    """Images `[B, 3, H, H]`, averaged down to 256 px if larger, and enlarged to `min_side` if smaller."""
    if images.shape[-1] < min_side:
        return F.interpolate(images, size=(min_side, min_side), mode="bilinear", align_corners=False)
    return averaged_down(images)


class StlpipsNetwork:
    """Shift-tolerant LPIPS (ST-LPIPS)."""

    name = "stlpips"

    def __init__(self, lpips: PerceptualDistance) -> None:
        self.lpips = lpips

    def features(self, images: Tensor) -> list[Tensor]:
        """Five feature maps, normalised over channels; images below 64 px are enlarged to 64 px."""
        return self.lpips.features(resize_for_network(images))

    def distance(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """The distance, `[B]`."""
        return self.lpips.between(one, other)


class DiscriminatorNetwork:
    """Feature maps of the model's own discriminator at every resolution, before the minibatch statistics.

    It needs no download, knows the model's images, and takes them at full size. Discriminator features as a loss:
    Larsen et al. (ICML 2016) and the feature matching of pix2pixHD (Wang et al., CVPR 2018). Here they are first
    normalised over channels, as in LPIPS.

    Args:
        discriminator: A network with a `trunk` of blocks; frozen and set to eval mode.
        config: The [model] section of its recipe.
        origin: Name of its file.
    """

    def __init__(self, discriminator: nn.Module, config: ModelSection, origin: str) -> None:
        self.name = f"discriminator:{origin}"
        self.discriminator = discriminator.requires_grad_(False).eval()
        self.config = config
        self.parts: list[nn.Module] = [*discriminator.trunk.children()]  # type: ignore[union-attr]
        if hasattr(discriminator, "from_wavelet"):
            self.parts += discriminator.from_wavelet.children()  # type: ignore[union-attr]

    def features(self, images: Tensor) -> list[Tensor]:
        """Outputs of the trunk's blocks and of the wavelet inputs, normalised over channels."""
        maps: list[Tensor] = []
        hooks = [part.register_forward_hook(partial(_keep, maps)) for part in self.parts]
        try:
            labels = unknown_labels(self.config, len(images), images.device)
            statistics = self.config.pixel_mean, self.config.pixel_std
            mean, std = (images.new_tensor(values)[:, None, None] for values in statistics)
            self.discriminator(((images + 1) / 2 - mean) / std, labels)  # hooks keep the maps; the logits are not used
        finally:
            for hook in hooks:
                hook.remove()
        return [_unit(value) for value in maps]

    def distance(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """Squared distance over channels, averaged over positions, then over maps: `[B]`."""
        parts = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(one, other, strict=True)]
        return torch.stack(parts).mean(dim=0)


def _keep(maps: list[Tensor], _: nn.Module, __: object, out: Tensor) -> None:
    maps.append(out)


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(dim=1, keepdim=True) + 1e-10)


class DetectorNetwork:
    """The feature vector of a metric's detector such as Inception.

    It describes the content of an image and hardly its layout; pixels and wavelet bands add the layout.

    Args:
        detector: A differentiable detector, such as a TorchScript one.
        side: Side of its input images in pixels.
    """

    def __init__(self, detector: Detector, side: int) -> None:
        self.detector, self.side = detector, side

    @property
    def name(self) -> str:
        """Name of the detector."""
        return self.detector.name

    def features(self, images: Tensor) -> list[Tensor]:
        """`[B, D]`, of unit length; images are resized as for FID."""
        weights = filter_weights(images.shape[-1], self.side, device=images.device)
        pixels = (weights @ ((images + 1) * 127.5) @ weights.T).clamp(0, 255)
        values, _ = self.detector.network(pixels)
        return [F.normalize(values.flatten(1))]

    def distance(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """Squared distance, `[B]`, 0 to 4."""
        return (one[0] - other[0]).square().sum(dim=1)


class ScriptedNetwork:
    """A TorchScript network with the interface of StyleGAN's `vgg16.pt`.

    It is called with images `[B, 3, H, W]` in 0 to 255 and `resize_images=False, return_lpips=True`. It returns
    features `[B, F]` whose squared distance is LPIPS. A TorchScript file is code that runs with the user's rights.

    Raises:
        ResourceError: the file is missing, or is not such a network.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.name = path.name
        self.call: Callable[..., Any] = load_torchscript(path, device, _SCRIPT_HINT)
        try:
            with torch.no_grad():
                (probe,) = self.features(torch.zeros(2, 3, MIN_SIDE, MIN_SIDE, device=device))
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise ResourceError(
                f"{path}: does not return features of images ({first_line(error)})", _SCRIPT_HINT
            ) from None
        if probe.ndim != 2 or len(probe) != 2:
            raise ResourceError(f"{path}: returns {list(probe.shape)} for 2 images", _SCRIPT_HINT)

    def features(self, images: Tensor) -> list[Tensor]:
        """`[B, F]`; images are averaged down to 256 px, or enlarged to 64 px."""
        pixels = (resize_for_network(images) + 1) * 127.5
        return [self.call(pixels, resize_images=False, return_lpips=True)]

    def distance(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """Squared distance, `[B]`."""
        return (one[0] - other[0]).square().sum(dim=1)


_SCRIPT_HINT = (
    "--loss FILE takes a TorchScript network like StyleGAN's vgg16.pt: called with images [N, 3, H, W] in 0 to 255 and "
    "resize_images=False, return_lpips=True, it returns features [N, F]."
)
