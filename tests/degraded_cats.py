"""Cats of AFHQ, and degraded versions with one known defect each."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from shared_material import CATS

WINDOW = 8


def blurred(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(2))


def compressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=10)
    return Image.open(buffer).convert("RGB")


def window_shifted(picture: Image.Image) -> Image.Image:
    """Roll every 8 px window by 2 px, so that the picture breaks along the grid as with window attention."""
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
    """Write PNG folders under `root`: `count` cats, `count` other cats (`others`), and the others in every version."""
    for name, picture in _cats(0, count):
        _save(picture, root / "cats" / name)
    for name, picture in _cats(count, 2 * count):
        _save(picture, root / "others" / name)
        for version, make in VERSIONS.items():
            _save(make(picture), root / version / name)


def write_half(root: Path, count: int, features_of: Callable[[Path], np.ndarray]) -> None:
    """Write a folder `half` under `root`: `count` undamaged cats of one half of the distribution (mode dropping).

    From twice as many cats (folder `pool`), it takes those on the larger side of the first principal component.

    Args:
        root: Folder given to `write_cats`.
        count: Number given to `write_cats`; its first `count` cats are not used here.
        features_of: Features [2 count, D] of the pictures in a folder, in the order of their names.
    """
    for name, picture in _cats(count, 3 * count):
        _save(picture, root / "pool" / name)
    features = features_of(root / "pool").astype(np.float64)
    _, _, directions = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    side = (features - features.mean(axis=0)) @ directions[0] > 0
    kept = side if side.mean() >= 0.5 else ~side
    (root / "half").mkdir()
    for path in np.array(sorted((root / "pool").iterdir()))[kept][:count]:
        (root / "half" / path.name).hardlink_to(path)


def _cats(start: int, stop: int) -> Iterator[tuple[str, Image.Image]]:
    """Names and pictures of the cats `start` to `stop - 1`, sorted by name."""
    with zipfile.ZipFile(CATS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".webp"))
        for name in names[start:stop]:
            yield f"{Path(name).stem}.png", Image.open(io.BytesIO(archive.read(name))).convert("RGB")


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    picture.save(path, compress_level=1)
