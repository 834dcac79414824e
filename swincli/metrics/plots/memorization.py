"""Sheet of the fakes that are closest to a real, each beside that real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from swincli.data.images.digital_source import COMPOSITE
from swincli.metrics.definitions.memorization import NearestReals
from swincli.metrics.plots import PLOT_NOTE
from swincli.metrics.streams.images import ImageSet
from swincli.synthesis.figures.grids import tile
from swincli.synthesis.output.provenance import NOTE, save_png

ROWS, COLUMNS = 6, 4  # pairs on the sheet
SIDE, MARGIN, TEXT = 128, 8, 18  # side of an image, margin around a pair and height of a text line, in pixels


def plot_nearest(path: Path, samples: list[NDArray[np.uint8]], nearest: NearestReals, reference: ImageSet) -> None:
    """Draw the samples with the smallest distance ratio, closest first, each with its nearest real on the right.

    Args:
        path: The PNG.
        samples: The first fakes, uint8 [H, W, 3] each.
        nearest: The nearest reals of all fakes.
        reference: The real images.

    Raises:
        DataError: a real cannot be read.
        ResourceError: the file cannot be written.
    """
    ratios = nearest.distance_ratio[: len(samples)]
    order = np.argsort(ratios, kind="stable")[: ROWS * COLUMNS]
    loaders = reference.read(nearest.real[order])
    pairs = [_pair(samples[fake], load(), f"{ratios[fake]:.2f}") for fake, load in zip(order, loaders, strict=True)]
    columns = min(COLUMNS, len(pairs))
    pairs += [torch.full_like(pairs[0], 255)] * (-len(pairs) % columns)
    sheet = torch.cat([tile(torch.stack([_heading()] * columns), columns), tile(torch.stack(pairs), columns)])
    save_png(path, sheet, {NOTE: PLOT_NOTE}, COMPOSITE)


def _pair(fake: NDArray[np.uint8], real: NDArray[np.uint8], text: str) -> torch.Tensor:
    canvas = Image.new("RGB", (2 * SIDE + 2 * MARGIN, SIDE + TEXT + MARGIN), "white")
    for place, pixels in enumerate((fake, real)):
        canvas.paste(Image.fromarray(pixels).resize((SIDE, SIDE), _filter(pixels)), (MARGIN + place * SIDE, 0))
    _write(canvas, text, canvas.width // 2, SIDE + TEXT // 2)
    return torch.from_numpy(np.array(canvas))


def _heading() -> torch.Tensor:
    canvas = Image.new("RGB", (2 * SIDE + 2 * MARGIN, TEXT + MARGIN), "white")
    for place, text in enumerate(("fake", "nearest real")):
        _write(canvas, text, MARGIN + place * SIDE + SIDE // 2, canvas.height // 2)
    return torch.from_numpy(np.array(canvas))


def _write(canvas: Image.Image, text: str, x: int, y: int) -> None:
    ImageDraw.Draw(canvas).text((x, y), text, "black", ImageFont.load_default(13), anchor="mm")


def _filter(pixels: NDArray[np.uint8]) -> Image.Resampling:
    """Nearest neighbour for small images, so that pixels stay squares; Lanczos for large ones."""
    return Image.Resampling.NEAREST if max(pixels.shape) <= SIDE else Image.Resampling.LANCZOS
