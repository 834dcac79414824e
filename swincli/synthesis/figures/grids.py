"""Pictures side by side, and pictures as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from swincli.system.atomic_files import write_atomically


def tile(pictures: Tensor, columns: int) -> Tensor:
    """uint8 `[N, H, W, 3]` -> one picture `[rows H, columns W, 3]`, row by row; what stays empty is black."""
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    canvas = torch.zeros(rows * columns, height, width, channels, dtype=torch.uint8)
    canvas[:count] = pictures
    split = canvas.view(rows, columns, height, width, channels).permute(0, 2, 1, 3, 4)
    return split.reshape(rows * height, columns * width, channels)


def save_png(path: Path, picture: Tensor, notes: Mapping[str, str] | None = None) -> None:
    """Write one picture, uint8 `[H, W, 3]`, with `notes` in the PNG's text chunks.

    Raises:
        ResourceError: the file cannot be written.
    """
    text = PngImagePlugin.PngInfo()
    for key, value in (notes or {}).items():
        text.add_itxt(key, value)
    image = Image.fromarray(picture.numpy())
    write_atomically(path, lambda temporary: image.save(temporary, format="PNG", pnginfo=text))
