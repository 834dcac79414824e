from __future__ import annotations

import io
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swincli.data.images.decode import decode
from swincli.data.sources import open_source
from swincli.errors import DataError


def noise(*shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with open_source(str(path)) as source:
        return np.stack([np.asarray(decode(entry.read(), entry.name)) for entry in source])


def test_channels_last_first_and_none(tmp_path: Path) -> None:
    colour, grey = noise(4, 20, 30, 3), noise(4, 20, 30)
    path = tmp_path / "x.npy"
    for array, wanted in (
        (colour, colour),
        (colour.transpose(0, 3, 1, 2).copy(), colour),
        (grey, np.repeat(grey[..., None], 3, -1)),
        (grey[..., None], np.repeat(grey[..., None], 3, -1)),
        (grey[:, None], np.repeat(grey[..., None], 3, -1)),
    ):
        np.save(path, array)
        assert np.array_equal(pixels(path), wanted)


def test_transparent_pictures_lie_on_the_background(tmp_path: Path) -> None:
    array = noise(2, 8, 9, 4)
    array[..., 3] = 0
    np.save(tmp_path / "x.npy", array)
    assert (pixels(tmp_path / "x.npy") == 255).all()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save: Any, tmp_path: Path) -> None:
    array = noise(5, 16, 24, 3)
    save(tmp_path / "x.npz", arr_0=array, mu=np.zeros(4), sigma=np.eye(4), count=np.uint8(3))
    assert np.array_equal(pixels(tmp_path / "x.npz"), array)
    with open_source(str(tmp_path / "x.npz")) as source:
        assert [entry.name for entry in source] == ["00000000", "00000001", "00000002", "00000003", "00000004"]
        late, early = source.entries[4].read(), source.entries[0].read()
        assert np.array_equal(decode(late, "x"), array[4])
        assert np.array_equal(decode(early, "x"), array[0])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (noise(4, 8, 8, 3).astype(np.float32), "is float32, not uint8"),
        (np.array([{"a": 1}], dtype=object), "holds Python objects, which are never loaded"),
        (noise(8, 8, 3), "8 x 8 x 3, which is a single picture"),
        (noise(4, 8, 8, 5), "without 1, 3 or 4 channels"),
        (noise(40), "40, which is not an array of pictures"),
        (noise(0, 8, 8, 3), "0 x 8 x 8 x 3, which is not an array of pictures"),
        (np.asfortranarray(noise(4, 8, 8, 3)), "in Fortran order, which is not an array of pictures"),
    ],
)
def test_what_is_no_array_of_pictures(array: Any, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    np.savez(tmp_path / "x.npz", array)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match=message) as caught:
            open_source(str(tmp_path / name))
        assert "uint8" in str(caught.value.hint)


def test_several_arrays_of_pictures_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", train=noise(2, 8, 8, 3), test=noise(2, 8, 8, 3))
    with pytest.raises(DataError, match=r"several arrays of pictures: train\.npy, test\.npy"):
        open_source(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("kept", [0, 5, 7, 40, 127, 200, -1])
def test_an_array_that_was_cut_short_is_named(kept: int, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", noise(4, 8, 8, 3))
    data = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(data[:kept])
    with pytest.raises(DataError, match=r"x\.npy is a damaged array: "):
        open_source(str(tmp_path / "x.npy"))


@cache
def whole_file(name: str) -> bytes:
    """A .npy or .npz file of three pictures."""
    stream = io.BytesIO()
    if name == "x.npy":
        np.save(stream, noise(3, 6, 6, 3))
    else:
        np.savez_compressed(stream, images=noise(3, 6, 6, 3))
    return stream.getvalue()


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=8), cut=st.booleans()
)
def test_damaged_arrays_raise_nothing_but_data_errors(
    name: str, changes: list[tuple[int, int]], cut: bool, tmp_path: Path, read: Any
) -> None:
    path = tmp_path / name
    data = bytearray(whole_file(name))
    for position, value in changes:
        data[position % len(data)] = value
    path.write_bytes(data[: changes[0][0] % len(data)] if cut else data)
    with suppress(DataError):
        read(path)
