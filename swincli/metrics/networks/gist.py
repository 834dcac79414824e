"""GIST, a detector that no training has shaped: energies of oriented filters on a coarse grid, and colours.

Networks for ImageNet favour models whose D looked through a network for ImageNet. GIST (Oliva and Torralba, IJCV 2001)
favours nobody. It sees edges, textures and colours and roughly where they are, and knows no objects. So it is a second
opinion, comparable only with itself.
"""

from __future__ import annotations

import hashlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 128  # of the input, in pixels
SCALES, ORIENTATIONS, GRID = 5, 6, 4
WIDTH = (SCALES * ORIENTATIONS + 3) * GRID**2
NAME = "GIST 1"
SHA256 = hashlib.sha256(f"swincli {NAME}".encode()).hexdigest()  # no file: it stands for the definition
_FLOOR = 1e-2  # energy that counts as none, of pixels from -1 to 1


class Gist(nn.Module):
    """Images `[B, 3, 128, 128]` of 0 to 255 to features `[B, 528]`: log energies by filter and place, then colours.

    The filters are log-Gabor: of octaves from 1/3 of the side's frequency down, six orientations, on the grey image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", _log_gabor())

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """The features; there are no logits."""
        x = images / 127.5 - 1
        spectrum = torch.fft.fft2(x.mean(dim=1, keepdim=True))
        energies = torch.fft.ifft2(spectrum * self.get_buffer("filters")).abs()
        places = (F.adaptive_avg_pool2d(energies, GRID) + _FLOOR).log()
        return torch.cat([places.flatten(1), F.adaptive_avg_pool2d(x, GRID).flatten(1)], dim=1), None


def _log_gabor() -> Tensor:
    """The filters in the frequency domain, `[1, scales * orientations, 128, 128]`; each answers to one half-plane."""
    frequencies = torch.fft.fftfreq(SIDE, dtype=torch.float64)
    y, x = torch.meshgrid(frequencies, frequencies, indexing="ij")
    radius, angle = torch.hypot(x, y), torch.atan2(y, x)
    radius[0, 0] = 1.0
    found = []
    for scale in range(SCALES):
        ring = torch.exp(-((radius / (2.0**-scale / 3)).log() ** 2) / (2 * math.log(0.65) ** 2))
        ring[0, 0] = 0.0
        for number in range(ORIENTATIONS):
            turned = angle - number * math.pi / ORIENTATIONS
            apart = torch.atan2(turned.sin(), turned.cos())
            found.append(2 * ring * torch.exp(-(apart**2) / (2 * (math.pi / ORIENTATIONS / 1.5) ** 2)))
    return torch.stack(found)[None].float()
