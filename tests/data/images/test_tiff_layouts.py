"""TIFFs of every layout come out with the right pixels, or are refused by their kind: never as noise or a negative."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from tiff_files import Order, write_tiff

from swincli.data.images.decode import decode
from swincli.data.images.rejected import ImageError

WIDTH, HEIGHT = 21, 13
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED = 0, 1, 2, 3, 5
CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, SEPARATED: 4}
ORDERS: tuple[Order, ...] = ("<", ">")
BLOCKS: list[dict[str, Any]] = [{}, {"rows": 5}, {"tile": 16}]
COMPRESSIONS = (1, 8, 32773)


def samples(bits: int, channels: int) -> NDArray[np.generic]:
    """Random samples [H, W, channels]."""
    kind = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    return np.random.default_rng(bits * 10 + channels).integers(0, 2**bits, (HEIGHT, WIDTH, channels), kind)


def palette(bits: int) -> NDArray[np.uint8]:
    """Random colours [2^bits, 3]."""
    return np.random.default_rng(7).integers(0, 256, (2**bits, 3), np.uint8)


def wanted(values: NDArray[np.generic], photometric: int, bits: int) -> NDArray[np.int64]:
    """The pixels as RGB of 8 bits, int64 [H, W, 3]."""
    wide = values.astype(np.int64)
    if photometric == PALETTE:
        return palette(bits)[wide[..., 0]].astype(np.int64)
    levels = wide >> (bits - 8) if bits > 8 else wide * 255 // (2**bits - 1)
    if photometric in (WHITE_IS_ZERO, SEPARATED):
        levels = 255 - levels
    if photometric == SEPARATED:
        levels = levels[..., :3] * levels[..., 3:] // 255
    return np.broadcast_to(levels, (HEIGHT, WIDTH, 3))


def outcome(data: bytes, right: NDArray[np.floating | np.int64], tolerance: float = 1) -> str:
    """Return "right", "wrong", or the reason why it was refused."""
    try:
        image = decode(data, "x")
    except ImageError as error:
        return error.reason
    return "right" if np.abs(np.asarray(image, int) - right).max() <= tolerance else "wrong"


def make(photometric: int, bits: int, **layout: Any) -> tuple[bytes, NDArray[np.int64]]:
    values = samples(bits, CHANNELS[photometric])
    tags = {}
    if photometric == PALETTE:
        tags[320] = (3, tuple(int(level) * 257 for level in palette(bits).T.ravel()))
    return write_tiff(values, photometric=photometric, bits=bits, tags=tags, **layout), wanted(
        values, photometric, bits
    )


CASES = [
    (photometric, bits, planar)
    for photometric, bits, planar in itertools.product(CHANNELS, (1, 2, 4, 8, 12, 16, 32), (1, 2))
    if not (photometric == PALETTE and bits > 8)
]


@pytest.mark.parametrize(("photometric", "bits", "planar"), CASES)
def test_no_layout_comes_out_wrong(photometric: int, bits: int, planar: int) -> None:
    for order, compression, blocks, big in itertools.product(ORDERS, COMPRESSIONS, BLOCKS, (False, True)):
        data, right = make(photometric, bits, order=order, compression=compression, planar=planar, big=big, **blocks)
        assert outcome(data, right) != "wrong", (order, compression, blocks, big)


COMMON = [
    *itertools.product((BLACK_IS_ZERO, WHITE_IS_ZERO, PALETTE), (1, 2, 4, 8), (1, 2)),
    *itertools.product((BLACK_IS_ZERO, WHITE_IS_ZERO), (12, 16), (1, 2)),
    *itertools.product((RGB,), (8, 16), (1, 2)),
    *[(SEPARATED, 8, 1), (SEPARATED, 8, 2), (SEPARATED, 16, 1)],
]


@pytest.mark.parametrize(("photometric", "bits", "planar"), COMMON)
def test_common_layouts_come_out_right(photometric: int, bits: int, planar: int) -> None:
    for order, compression, blocks in itertools.product(ORDERS, COMPRESSIONS, BLOCKS):
        if bits == 12 and order == ">":
            continue  # refused
        data, right = make(photometric, bits, order=order, compression=compression, planar=planar, **blocks)
        assert outcome(data, right) == "right", (order, compression, blocks)


@pytest.mark.parametrize(("photometric", "bits"), [(RGB, 8), (RGB, 16), (BLACK_IS_ZERO, 16), (WHITE_IS_ZERO, 16)])
@pytest.mark.parametrize("planar", [1, 2])
def test_another_reader_finds_the_same_samples(photometric: int, bits: int, planar: int) -> None:
    values = samples(bits, CHANNELS[photometric])
    for order, blocks in itertools.product(ORDERS, BLOCKS):
        data = write_tiff(values, photometric=photometric, bits=bits, planar=planar, order=order, **blocks)
        read = tifffile.imread(io.BytesIO(data)).reshape(-1)
        turned = values.transpose(2, 0, 1) if planar == 2 else values
        assert np.array_equal(read, turned.reshape(-1)), (order, blocks)


@pytest.mark.parametrize("bits", [8, 16])
def test_differences_of_neighbours_are_summed(bits: int) -> None:
    for photometric, order in itertools.product((RGB, WHITE_IS_ZERO), ORDERS):
        data, right = make(photometric, bits, order=order, compression=8, predictor=2, rows=4)
        assert outcome(data, right) == "right", order


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_reversed_bits_are_never_wrong(bits: int) -> None:
    for photometric, planar, compression, order in itertools.product((0, 1, 2, 3), (1, 2), COMPRESSIONS, ORDERS):
        if photometric == PALETTE and bits > 8:
            continue
        data, right = make(photometric, bits, planar=planar, compression=compression, order=order, fill_order=2)
        found = outcome(data, right)
        assert found == "right" or found.startswith("unsupported: "), (photometric, planar, compression, order)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ({"bits": 8, "sample_format": 2}, "a TIFF of signed 8-bit grey pixels"),
        ({"bits": 16, "sample_format": 2}, "a TIFF of signed 16-bit grey pixels"),
        ({"bits": 16, "sample_format": 3}, "a TIFF of floating-point 16-bit grey pixels"),
        ({"bits": 8, "order": ">", "big": True}, "a big-endian BigTIFF of 8-bit grey pixels"),
        ({"bits": 12, "order": ">"}, "a TIFF of 12-bit grey pixels"),
        ({"bits": 8, "compression": 999}, "a TIFF of 8-bit grey pixels, compression 999"),
    ],
)  # fmt: skip
def test_refusals_say_what_the_file_is(layout: dict[str, Any], reason: str) -> None:
    data, right = make(BLACK_IS_ZERO, **layout)
    assert outcome(data, right) == f"unsupported: {reason}, convert it to PNG"


def test_plain_ycbcr_is_read_only_without_subsampling() -> None:
    values = np.full((HEIGHT, WIDTH, 3), (120, 128, 128), np.uint8)
    grey = np.full((HEIGHT, WIDTH, 3), 120, np.int64)
    full: dict[str, Any] = {"photometric": 6, "bits": 8, "tags": {530: (3, (1, 1))}}
    for planar, compression in ((1, 1), (1, 8), (2, 8)):
        assert outcome(write_tiff(values, planar=planar, compression=compression, **full), grey) == "right"
    assert outcome(write_tiff(values, planar=2, **full), grey).startswith("unsupported: ")
    assert outcome(write_tiff(values, photometric=6, bits=8), grey).startswith("unsupported: ")


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize(
    ("photometric", "channels"), [(BLACK_IS_ZERO, 1), (WHITE_IS_ZERO, 1), (RGB, 3), (SEPARATED, 4)]
)
@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_is_laid_over_white_or_left_out(photometric: int, channels: int, kind: int, bits: int) -> None:
    values = samples(bits, channels + 1)
    if kind == 1:  # colours are multiplied by alpha
        values = np.minimum(values, values[..., -1:])
    opaque = wanted(values[..., :-1], photometric, bits)
    alpha = values[..., -1:].astype(float) / (2**bits - 1)
    right = opaque if kind == 0 else opaque * alpha + 255 * (1 - alpha) if kind == 2 else opaque + 255 * (1 - alpha)
    for order, compression, planar in itertools.product(ORDERS, COMPRESSIONS, (1, 2)):
        layout: dict[str, Any] = {"order": order, "compression": compression, "planar": planar}
        data = write_tiff(values, photometric=photometric, bits=bits, extra=(kind,), **layout)
        assert outcome(data, right, tolerance=2) != "wrong", layout
