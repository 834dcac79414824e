"""The networks that a projection compares images by: perceptual ones, detectors, and the model's own D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.errors import ResourceError
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.networks.perceptual_input import averaged_down
from swincli.metrics.networks.pretrained import first_line, load_torchscript
from swincli.metrics.networks.resize import filter_weights
from swincli.metrics.networks.stlpips import PerceptualDistance

SMALLEST = 64  # px: what networks for photographs find anything in


def of_fitting_size(images: Tensor, smallest: int = SMALLEST) -> Tensor:
    """Images `[B, 3, H, H]` averaged down to 256 px where they are larger, and enlarged to `smallest` if smaller."""
    if images.shape[-1] < smallest:
        return F.interpolate(images, size=(smallest, smallest), mode="bilinear", align_corners=False)
    return averaged_down(images)


class PerceptualNetwork:
    """Shift-tolerant LPIPS."""

    name = "stlpips"

    def __init__(self, distance: PerceptualDistance) -> None:
        self.distance = distance

    def features(self, images: Tensor) -> list[Tensor]:
        """Five maps of unit length over channels; images below 64 px are enlarged to that."""
        return self.distance.features(of_fitting_size(images))

    def between(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """The distance, `[B]`."""
        return self.distance.between(one, other)


class DiscriminatorNetwork:
    """What the model's own discriminator makes of an image at every scale, before it compares those of a batch.

    It needs no download, knows the very images that the model makes, and sees them at their own size. Features of a
    discriminator as a loss are those of Larsen et al. (ICML 2016) and of pix2pixHD's feature matching (Wang et al.,
    CVPR 2018); here they are brought to unit length over channels first, as LPIPS does.

    Args:
        discriminator: With a `trunk` of blocks; its weights are not changed.
        pixel_mean: Of the images that it takes: `(x std + mean)` is 0 to 1.
        pixel_std: The same.
        origin: The file that it comes from.
    """

    def __init__(
        self, discriminator: nn.Module, pixel_mean: Sequence[float], pixel_std: Sequence[float], origin: str
    ) -> None:
        self.name = f"discriminator:{origin}"
        self.discriminator = discriminator.requires_grad_(False).eval()
        self.pixel_mean, self.pixel_std = pixel_mean, pixel_std
        self.classes: bool = discriminator.embedding is not None
        self.parts: list[nn.Module] = [*discriminator.trunk.children()]  # type: ignore[union-attr]
        if hasattr(discriminator, "from_wavelet"):
            self.parts += discriminator.from_wavelet.children()  # type: ignore[union-attr]

    def features(self, images: Tensor) -> list[Tensor]:
        """The maps after the blocks of the trunk, and those of the wavelet coefficients that join it."""
        maps: list[Tensor] = []
        hooks = [part.register_forward_hook(partial(_keep, maps)) for part in self.parts]
        try:
            labels = torch.zeros(len(images), dtype=torch.int64, device=images.device) if self.classes else None
            mean, std = (images.new_tensor(values)[:, None, None] for values in (self.pixel_mean, self.pixel_std))
            self.discriminator(((images + 1) / 2 - mean) / std, labels)  # its verdict is not used
        finally:
            for hook in hooks:
                hook.remove()
        return [_unit(value) for value in maps]

    def between(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """The mean over maps of the squared distance, itself the mean over positions: `[B]`."""
        parts = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(one, other, strict=True)]
        return torch.stack(parts).mean(dim=0)


def _keep(maps: list[Tensor], _: nn.Module, __: object, out: Tensor) -> None:
    maps.append(out)


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(dim=1, keepdim=True) + 1e-10)


class DetectorNetwork:
    """The one feature that a detector such as Inception makes of an image.

    It says what is in an image and little of where, so pixels and wavelet bands have to do the rest.

    Args:
        detector: Differentiable, as TorchScript ones are.
        side: Of the images that it takes, in pixels.
    """

    def __init__(self, detector: Detector, side: int) -> None:
        self.detector, self.side = detector, side

    @property
    def name(self) -> str:
        """As the detector is called."""
        return self.detector.name

    def features(self, images: Tensor) -> list[Tensor]:
        """`[B, D]`, of unit length, from images resized as for measuring."""
        weights = filter_weights(images.shape[-1], self.side, device=images.device)
        pixels = (weights @ ((images + 1) * 127.5) @ weights.T).clamp(0, 255)
        values, _ = self.detector.network(pixels)
        return [F.normalize(values.flatten(1))]

    def between(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """The squared distance, `[B]`, of 0 to 4."""
        return (one[0] - other[0]).square().sum(dim=1)


class ScriptedNetwork:
    """A TorchScript file as StyleGAN's tools take their `vgg16.pt`.

    It is called with images `[B, 3, H, W]` of 0 to 255 and `resize_images=False, return_lpips=True`, and makes
    `[B, F]`, whose squared distances are LPIPS's. A TorchScript file is code: it is run, and can do what its author
    wants.

    Raises:
        ResourceError: no such file, or it is no such network.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.name = path.name
        self.call: Callable[..., Any] = load_torchscript(path, device, _SCRIPT_HINT)
        try:
            with torch.no_grad():
                (probe,) = self.features(torch.zeros(2, 3, SMALLEST, SMALLEST, device=device))
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise ResourceError(f"{path}: makes no features of images ({first_line(error)})", _SCRIPT_HINT) from None
        if probe.ndim != 2 or len(probe) != 2:
            raise ResourceError(f"{path}: makes {list(probe.shape)} of 2 images", _SCRIPT_HINT)

    def features(self, images: Tensor) -> list[Tensor]:
        """`[B, F]`, from images averaged down to 256 px, or enlarged to 64 px."""
        pixels = (of_fitting_size(images) + 1) * 127.5
        return [self.call(pixels, resize_images=False, return_lpips=True)]

    def between(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """The squared distance, `[B]`."""
        return (one[0] - other[0]).square().sum(dim=1)


_SCRIPT_HINT = (
    "--loss FILE takes a TorchScript network like StyleGAN's vgg16.pt: called with images [N, 3, H, W] of 0 to 255 and "
    "resize_images=False, return_lpips=True, it makes features [N, F]."
)
