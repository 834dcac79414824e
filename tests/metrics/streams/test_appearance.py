"""Sides that were saved, cropped or resized in different ways earn a caution that names both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.metrics.streams.appearance import Appearance, compare_appearances, of_generated
from swincli.metrics.streams.images import open_images


def save(folder: Path, suffix: str = ".png", size: tuple[int, int] = (32, 32), count: int = 4, **how: object) -> Path:
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(len(list(folder.iterdir())))
    for number in range(count):
        pixels = random.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}{suffix}", **how)  # type: ignore[arg-type]
    return folder


def store(folder: Path, path: Path, **how: object) -> Path:
    prepare(str(folder), path, PrepareOptions(16, workers=1, **how), Console(quiet=True))  # type: ignore[arg-type]
    return path


def look(path: Path) -> Appearance:
    with open_images(str(path)) as images:
        return images.look()


def cautions(one: Path, other: Path) -> list[str]:
    found = compare_appearances(look(one), one.name, look(other), other.name)
    assert all(one.name in text and other.name in text for text in found)
    assert [text.replace(one.name, "X") for text in found] != found or not found
    return found


def test_sides_that_were_made_alike_earn_none(tmp_path: Path) -> None:
    one, other = save(tmp_path / "one"), save(tmp_path / "two", ".webp", lossless=True)
    assert cautions(one, other) == []
    assert cautions(store(one, tmp_path / "s1"), store(other, tmp_path / "s2")) == []


@pytest.mark.parametrize(("suffix", "how"), [(".jpg", {}), (".webp", {"quality": 80})])
def test_losses_of_compression_on_one_side(suffix: str, how: dict[str, object], tmp_path: Path) -> None:
    lossless, lossy = save(tmp_path / "plain"), save(tmp_path / "packed", suffix, **how)
    (text,) = cautions(lossless, lossy)
    assert text.startswith(f"plain: PNG, but packed: {'JPEG' if suffix == '.jpg' else 'WebP'}; losses of compression")
    assert cautions(lossy, lossy) == []
    np.save(tmp_path / "array.npy", np.zeros((3, 32, 32, 3), np.uint8))
    assert cautions(tmp_path / "array.npy", lossy)[0].startswith("array.npy: an array, but packed: ")
    assert "generated images" in compare_appearances(of_generated(32), "model", look(lossy), "packed")[0]


def test_a_stretch_on_one_side_and_a_crop_on_the_other(tmp_path: Path) -> None:
    wide, square = save(tmp_path / "wide", size=(48, 32)), save(tmp_path / "square")
    (text,) = cautions(wide, square)
    assert text.startswith("wide: 100% not square (1.50:1), but square: square; images that are not square are stretch")
    high = save(tmp_path / "high", size=(32, 48))
    assert "wide: 100% not square (1.50:1), but high: 100% not square (0.67:1)" in cautions(wide, high)[0]
    assert cautions(wide, save(tmp_path / "wide2", size=(48, 32))) == []


def test_an_orientation_counts(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, upright = save(tmp_path / "turned", size=(48, 32), exif=exif), save(tmp_path / "upright", size=(32, 48))
    assert cautions(turned, upright) == []


def test_sizes_that_differ(tmp_path: Path) -> None:
    large, small = save(tmp_path / "large", size=(64, 64)), save(tmp_path / "small")
    (text,) = cautions(large, small)
    assert text.startswith("large: 64 px, but small: 32 px (median of the shorter side)")
    assert "large: 64 px, but s: 16 px" in cautions(large, store(small, tmp_path / "s"))[0]


def test_stores_that_were_cropped_or_resized_otherwise(tmp_path: Path) -> None:
    source = save(tmp_path / "source", size=(48, 32))
    centre = store(source, tmp_path / "centre")
    wide, box = store(source, tmp_path / "wide", crop="center-wide"), store(source, tmp_path / "box", filter="box")
    assert cautions(centre, wide) == ["centre: prepared with crop center, but wide: with crop center-wide"]
    assert cautions(centre, box) == ["centre: prepared with filter lanczos, but box: with filter box"]
    enlarged = store(save(tmp_path / "tiny", size=(8, 8)), tmp_path / "enlarged")
    assert "centre: 0% of the images were enlarged" in cautions(centre, enlarged)[0]
    assert cautions(centre, store(save(tmp_path / "squares"), tmp_path / "uncropped", crop="none")) == []


def test_what_is_not_known_is_not_compared(tmp_path: Path) -> None:
    folder = save(tmp_path / "one", ".jpg")
    assert compare_appearances(Appearance(), "unknown", look(folder), "one") == []
    generated = replace(look(store(save(tmp_path / "two"), tmp_path / "s")), settings={})
    assert compare_appearances(generated, "made", look(save(tmp_path / "three", size=(16, 16))), "three") == []
    (folder / "0.jpg").write_bytes(b"\xff\xd8\xff damaged")
    assert look(folder).files == "JPEG"
