"""Fixtures of the tests of data: pictures, encoded files, and threads in place of processes."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swincli.data.preparing import workers

Encode = Callable[..., bytes]
Scatter = Callable[..., Path]


def _noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.fixture
def noise() -> Callable[..., Image.Image]:
    """`noise(width, height, seed=0)`: an RGB image of random pixels."""
    return _noise


@pytest.fixture
def encode() -> Encode:
    """`encode(image, "PNG", ...)`: the bytes of a file."""

    def save(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return save


@pytest.fixture
def pictures(tmp_path: Path, encode: Encode) -> Path:
    """A folder of five good pictures of several kinds, sizes and subfolders."""
    root = tmp_path / "pictures"
    for number, (name, kind) in enumerate(
        [("a.png", "PNG"), ("b.jpg", "JPEG"), ("sub/c.webp", "WEBP"), ("sub/d.bmp", "BMP"), ("sub/deep/e.tif", "TIFF")]
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encode(_noise(40 + 2 * number, 36, number), kind))
    return root


@pytest.fixture
def worker_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in threads where workers would start processes, and also for few files."""
    monkeypatch.setattr(workers, "SERIAL_FILES", 0)
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda count, **_: ThreadPoolExecutor(count))
