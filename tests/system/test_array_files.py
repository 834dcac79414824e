from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from swincli.data.sources import open_source
from swincli.errors import DataError
from swincli.recipe.schema import ModelSection
from swincli.synthesis.latents.files import read_latents
from swincli.synthesis.output.provenance import read_note
from swincli.system.array_files import open_arrays, read_arrays


def test_arrays_are_read_on_access(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", numbers=np.arange(3), objects=np.array([{}], dtype=object))
    with open_arrays(tmp_path / "a.npz") as arrays:
        assert list(arrays) == ["numbers", "objects"]
        np.testing.assert_array_equal(arrays["numbers"], [0, 1, 2])
    message = r"a\.npz: damaged, or not an \.npz file of numbers"  # nothing is unpickled
    with pytest.raises(DataError, match=message), open_arrays(tmp_path / "a.npz") as arrays:
        _ = arrays["objects"]


def test_other_files_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", numbers=np.arange(99))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-20])
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps([1]))
    np.save(tmp_path / "single.npy", np.arange(3))
    for name, reason in (
        ("gone.npz", "no such file"),
        ("cut.npz", "damaged, or not an .npz file"),
        ("pickle.npz", "damaged, or not an .npz file"),
        ("single.npy", "damaged, or not an .npz file"),
    ):
        with pytest.raises(DataError) as caught, open_arrays(tmp_path / name, "a hint"):
            pass
        assert caught.value.message == f"{tmp_path / name}: {reason}"
        assert caught.value.hint == "a hint"


def test_a_missing_array_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", numbers=np.arange(3))
    with pytest.raises(DataError, match="nothing"), open_arrays(tmp_path / "a.npz") as arrays:
        _ = arrays["nothing"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">i2", "<U5", "bool"])
def test_arrays_are_those_of_numpy(tmp_path: Path, order: str, dtype: str) -> None:
    values = np.arange(12).reshape(3, 4).astype(dtype)
    arrays = {"a": np.asarray(values, order=order), "scalar": values[1, 2], "none": values[:0]}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    with np.load(tmp_path / "a.npz") as expected:
        found = read_arrays(tmp_path / "a.npz")
        assert list(found) == list(expected)
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name])
            assert (array.dtype, array.shape) == (expected[name].dtype, expected[name].shape)
    assert list(read_arrays(tmp_path / "a.npz", names=["a", "b"])) == ["a"]


def header(shape: str, descr: str = "<f4", padding: int = 0) -> bytes:
    """A header of version 2.0."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b" " * padding
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text


HEADERS = {
    "many rows": header("(640000000000, 8)"),
    "overflow": header(f"({2**63}, 8)"),
    "negative": header("(-1, 8)"),
    "long text": header("()", "<U2000000000"),
    "long header": header("(1, 8)", padding=2**24),
    "claimed header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{",
    "version": b"\x93NUMPY\x09\x00" + bytes(100),
    "pictures": header("(640000000000, 8, 8, 3)", "|u1"),
}
READERS: dict[str, Callable[[Path], object]] = {
    "arrays": lambda path: read_arrays(path),
    "latents": lambda path: read_latents(path, ModelSection(size=16, latent_dim=8)),
    "source": lambda path: open_source(str(path)),
}


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("name", HEADERS)
def test_what_a_header_claims_takes_no_memory(tmp_path: Path, name: str, claimed: bool) -> None:
    content = HEADERS[name] + bytes(32)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("z.npy", content)
    data = packed.getvalue()
    if claimed:  # the archive claims a size as well
        at = data.rindex(b"PK\x01\x02") + 24
        data = data[:at] + struct.pack("<I", 2**32 - 2) + data[at + 4 :]
    (tmp_path / "z.npz").write_bytes(data)
    (tmp_path / "z.npy").write_bytes(content)
    for reader, read in READERS.items():
        for path in (tmp_path / "z.npz", *([tmp_path / "z.npy"] if reader == "source" else [])):
            tracemalloc.start()
            with pytest.raises(DataError) as caught:
                read(path)
            assert tracemalloc.get_traced_memory()[1] < 2**22
            tracemalloc.stop()
            assert str(path) in caught.value.message
    assert read_note(tmp_path / "z.npz") is None


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", z=np.random.default_rng(0).standard_normal((40, 8)))
    whole = (tmp_path / "a.npz").read_bytes()
    for position in range(100, len(whole) - 150, 97):
        data = bytearray(whole)
        data[position] ^= 0xFF
        (tmp_path / "a.npz").write_bytes(data)
        with pytest.raises(DataError, match=r"a\.npz: damaged"):
            read_arrays(tmp_path / "a.npz")
