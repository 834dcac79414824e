"""Preparing holds a few pictures at a time, however many there are."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.preparing.survey import Survey
from swincli.system import file_hash

SIDE = 128
EACH = SIDE * SIDE * 3


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of 50 names for one file of noise."""
    root = tmp_path / "many"
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(root / "000.png")
    for number in range(1, 50):
        os.link(root / "000.png", root / f"{number:03d}.png")
    return root


@pytest.mark.parametrize("kind", [{}, {"encoding": "webp"}, {"format": "folder"}, {"format": "zip"}])
def test_bytes_held_do_not_grow_by_pictures(
    many: Path, tmp_path: Path, kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hash, "_WAITING", 0)  # 16 MiB may wait to be hashed, more than all these pictures
    monkeypatch.setattr(file_hash, "_PORTION", 1)

    def peak(images: int) -> int:
        options = PrepareOptions(SIDE, max_images=images, workers=1, **kind)
        tracemalloc.start()
        prepare(str(many), tmp_path / f"{images}.zip", options, Console(quiet=True), Survey().add)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    peak(2)  # imports and caches
    growth = (peak(50) - peak(30)) / 20  # the garbage collector frees up to 20 pictures late
    assert growth < EACH / 8
