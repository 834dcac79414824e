"""The fakes that look most like copies, beside the training pictures that they would be copies of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from swincli.metrics.definitions.memorization import Nearest
from swincli.metrics.streams.images import ImageSet
from swincli.synthesis.figures.grids import tile
from swincli.synthesis.output.provenance import save_png

ROWS, COLUMNS = 6, 4  # of pairs
SIDE, MARGIN, TEXT = 128, 8, 18  # of a picture, around a pair and of a line of text, in pixels


def draw_nearest(path: Path, samples: list[NDArray[np.uint8]], nearest: Nearest, reference: ImageSet) -> None:
    """Draw the samples that are closest to a real, each with that real on its right, the closest first.

    Args:
        path: The PNG to write.
        samples: The first of the fakes, uint8 [H, W, 3] each.
        nearest: Of all fakes.
        reference: The reals themselves.

    Raises:
        DataError: a real cannot be read.
        ResourceError: the file cannot be written.
    """
    closeness = nearest.closeness[: len(samples)]
    order = np.argsort(closeness, kind="stable")[: ROWS * COLUMNS]
    loaders = reference.read(nearest.real[order])
    pairs = [_pair(samples[fake], load(), f"{closeness[fake]:.2f}") for fake, load in zip(order, loaders, strict=True)]
    columns = min(COLUMNS, len(pairs))
    pairs += [torch.full_like(pairs[0], 255)] * (-len(pairs) % columns)
    sheet = torch.cat([tile(torch.stack([_heading()] * columns), columns), tile(torch.stack(pairs), columns)])
    save_png(path, sheet)


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
    """Pixels of small pictures stay squares; large ones are averaged."""
    return Image.Resampling.NEAREST if max(pixels.shape) <= SIDE else Image.Resampling.LANCZOS
