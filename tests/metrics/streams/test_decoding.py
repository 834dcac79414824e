"""Which files give the pixels that clean-fid sees, `Image.open(file).convert("RGB")`, and which do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swincli.metrics.streams.images import open_images

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (16, 24, 3), dtype=np.uint8)
GREY16 = RANDOM.integers(0, 65536, (16, 24), dtype=np.uint16)


def save(kind: str, path: Path) -> Path:
    image = Image.fromarray(COLOURS)
    if kind == "exif":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    elif kind == "alpha":
        Image.fromarray(np.dstack([COLOURS, COLOURS[..., :1]])).save(path)
    elif kind == "grey16":
        Image.fromarray(GREY16).save(path)
    else:
        image.convert(kind).save(path)
    return path


def both_readings(path: Path) -> tuple[np.ndarray, np.ndarray]:
    save("RGB", path.with_name("other.png"))
    with open_images(str(path.parent)) as images:
        ours = next(load() for load in images.read(np.array([0])))
    return ours, np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize(("kind", "suffix"), [("RGB", "png"), ("L", "png"), ("P", "png"), ("RGB", "jpg"), ("L", "jpg")])
def test_plain_files_are_the_same_pixels(kind: str, suffix: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(*both_readings(save(kind, tmp_path / f"a.{suffix}")))


def test_the_protocol_s_exceptions_are_those(tmp_path: Path) -> None:
    ours, theirs = both_readings(save("exif", tmp_path / "a.png"))
    np.testing.assert_array_equal(ours, np.rot90(theirs, -1))
    ours, theirs = both_readings(save("alpha", tmp_path / "a.png"))
    alpha = COLOURS[..., :1] / 255
    np.testing.assert_allclose(ours, COLOURS * alpha + 255 * (1 - alpha), atol=1)
    np.testing.assert_array_equal(theirs, COLOURS)
    ours, theirs = both_readings(save("grey16", tmp_path / "a.png"))
    np.testing.assert_array_equal(ours[..., 0], GREY16 >> 8)
    np.testing.assert_array_equal(theirs[..., 0], GREY16.clip(0, 255))
