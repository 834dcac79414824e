from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from swincli.data.images.perceptual_hash import colour_difference, hamming_distances, perceptual_hash
from swincli.data.preparing.decode_crop import pixel_digest
from swincli.data.preparing.dedupe import DuplicateFinder

Pixels = NDArray[np.uint8]


@pytest.fixture
def scene(noise: Callable[..., Image.Image]) -> Callable[[int], Image.Image]:
    """`scene(seed)`: a picture of smooth shapes, 128 px."""
    return lambda seed: noise(6, 6, seed).resize((128, 128), Image.Resampling.BICUBIC)


def found(pictures: list[Image.Image], known: DuplicateFinder) -> list[str | None]:
    """For each picture, the name of the picture that it duplicates. Names are numbers."""
    results = []
    for number, picture in enumerate(pictures):
        pixels = np.asarray(picture)
        twin = known.find(str(number), pixel_digest(pixels), perceptual_hash(pixels))
        results.append(None if twin is None else twin[0])
    return results


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.integers(0, 2**64 - 1))
def test_bits_are_counted(hashes: list[int], one: int) -> None:
    counted = hamming_distances(np.array(hashes, np.uint64), one)
    assert counted.tolist() == [(value ^ one).bit_count() for value in hashes]


def test_a_perceptual_hash_has_64_bits_and_16_by_16_colours() -> None:
    rising = np.broadcast_to(np.arange(0, 252, 4, np.uint8)[None, :, None], (63, 63, 3)).copy()
    assert perceptual_hash(rising).bits == 2**64 - 1
    assert perceptual_hash(rising[:, ::-1].copy()).bits == 0
    assert perceptual_hash(rising).colours.shape == (16, 16, 3)


def test_differences_are_shares_of_the_contrast(scene: Callable[[int], Image.Image]) -> None:
    one, other = (perceptual_hash(np.asarray(scene(seed))).colours for seed in (1, 2))
    assert colour_difference(one, one) == 0
    assert colour_difference(one, other) == colour_difference(other, one)
    assert 0.8 < colour_difference(one, other) < 2.5
    flat = np.full((16, 16, 3), 90, np.uint8)
    assert colour_difference(flat, flat) == 0
    assert colour_difference(flat, flat + 1) == 1


def test_exact_duplicates_are_equal_to_the_last_pixel(scene: Callable[[int], Image.Image]) -> None:
    nearly = scene(1)
    nearly.putpixel((5, 5), (1, 2, 3))
    assert found([scene(1), scene(2), scene(1), nearly], DuplicateFinder("exact")) == [None, None, "0", None]
    assert found([scene(1), scene(2), scene(1), nearly], DuplicateFinder("near")) == [None, None, "0", "0"]
    assert found([scene(1), scene(1)], DuplicateFinder(None)) == [None, None]


def test_near_duplicates_survive_what_happens_to_pictures_on_the_web(
    scene: Callable[[int], Image.Image], encode: Callable[..., bytes]
) -> None:
    import io

    original = scene(3)
    variants = [
        Image.open(io.BytesIO(encode(original, "JPEG", quality=30))),
        original.resize((60, 60)).resize((128, 128)),
        original.crop((2, 2, 126, 126)).resize((128, 128)),
        ImageEnhance.Brightness(original).enhance(1.1),
        ImageEnhance.Color(original).enhance(0.9),
    ]
    assert found([original, *variants], DuplicateFinder("near")) == [None, *["0"] * len(variants)]


def test_a_copy_of_a_near_duplicate_is_a_near_duplicate_too(scene: Callable[[int], Image.Image]) -> None:
    known = DuplicateFinder("near")
    brighter = ImageEnhance.Brightness(scene(3)).enhance(1.1)
    told = []
    for name, picture in (("first", scene(3)), ("near", brighter), ("copy", brighter), ("again", scene(3))):
        pixels = np.asarray(picture)
        told.append(known.find(name, pixel_digest(pixels), perceptual_hash(pixels)))
    assert told[1] is not None
    assert told[1][1].startswith("near duplicate of first (")
    assert told == [None, told[1], told[1], ("first", "duplicate of first")]


def test_other_pictures_are_no_near_duplicates(scene: Callable[[int], Image.Image]) -> None:
    pictures = [scene(seed) for seed in range(200)]  # more than there is room for at first
    known = DuplicateFinder("near")
    assert found(pictures, known) == [None] * 200
    last = np.asarray(pictures[-1])
    assert known.find("again", pixel_digest(last), perceptual_hash(last)) == ("199", "duplicate of 199")


def test_the_same_shapes_in_other_colours_stay(scene: Callable[[int], Image.Image]) -> None:
    red, green, blue = scene(4).split()
    assert found([scene(4), Image.merge("RGB", (blue, green, red))], DuplicateFinder("near")) == [None, None]


def test_the_most_similar_one_is_named(scene: Callable[[int], Image.Image]) -> None:
    known, pixels = DuplicateFinder("near"), np.asarray(scene(5))
    known.find("first", pixel_digest(pixels), perceptual_hash(pixels))
    slightly = np.asarray(ImageEnhance.Contrast(scene(5)).enhance(0.97))
    name, reason = known.find("second", pixel_digest(slightly), perceptual_hash(slightly)) or ("", "")
    assert name == "first"
    assert reason.startswith("near duplicate of first (")
    assert reason.endswith(" of 64 bits differ)")
