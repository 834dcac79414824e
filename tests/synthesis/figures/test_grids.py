"""Pictures side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from swincli.synthesis.figures.grids import save_png, tile


def test_tiles_lie_row_by_row_and_the_rest_is_black() -> None:
    pictures = torch.stack([torch.full((2, 3, 3), value, dtype=torch.uint8) for value in (10, 20, 30)])
    grid = tile(pictures, columns=2)
    assert grid.shape == (4, 6, 3)
    assert grid[0, 0, 0] == 10
    assert grid[1, 5, 2] == 20
    assert grid[3, 2, 1] == 30
    assert (grid[2:, 3:] == 0).all()


def test_png_holds_pixels_and_notes(tmp_path: Path) -> None:
    picture = torch.randint(0, 256, (5, 7, 3), dtype=torch.uint8)
    save_png(tmp_path / "new folder" / "a.png", picture, {"swincli": "seed=1"})
    with Image.open(tmp_path / "new folder" / "a.png") as image:
        assert np.array_equal(np.asarray(image), picture.numpy())
        assert image.text["swincli"] == "seed=1"  # type: ignore[attr-defined]
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["a.png"]
