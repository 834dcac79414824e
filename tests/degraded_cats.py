"""AFHQ's cats, and versions of them that are worse in one known way each."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

CATS = Path(__file__).parents[1] / "../shared/data/afhq_cat_256.zip"
WINDOW = 8


def blurred(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(2))


def compressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=10)
    return Image.open(buffer).convert("RGB")


def window_shifted(picture: Image.Image) -> Image.Image:
    """Every window of 8 px moved inside itself by 2 px: the picture breaks along the grid, as it does in attention."""
    pixels = np.asarray(picture)
    side = pixels.shape[0] // WINDOW
    windows = pixels.reshape(side, WINDOW, side, WINDOW, 3)
    return Image.fromarray(np.roll(windows, (2, 2), axis=(1, 3)).reshape(pixels.shape))


VERSIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "blurred": blurred,
    "compressed": compressed,
    "shifted": window_shifted,
}


def write_cats(root: Path, count: int) -> None:
    """Folders of PNGs under `root`: `count` cats, as many `others`, and those in every version."""
    with zipfile.ZipFile(CATS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".webp"))
        for number, name in enumerate(names[: 2 * count]):
            picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            file = f"{Path(name).stem}.png"
            _save(picture, root / ("cats" if number < count else "others") / file)
            if number >= count:
                for version, make in VERSIONS.items():
                    _save(make(picture), root / version / file)


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    picture.save(path, compress_level=1)
