from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from swincli.errors import DataError
from swincli.system.array_files import open_arrays


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
        ("cut.npz", "not an .npz file, or damaged"),
        ("pickle.npz", "not an .npz file, or damaged"),
        ("single.npy", "not an .npz file, or damaged"),
    ):
        with pytest.raises(DataError) as caught, open_arrays(tmp_path / name, "a hint"):
            pass
        assert caught.value.message == f"{tmp_path / name}: {reason}"
        assert caught.value.hint == "a hint"


def test_a_missing_array_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", numbers=np.arange(3))
    with pytest.raises(DataError, match="nothing"), open_arrays(tmp_path / "a.npz") as arrays:
        _ = arrays["nothing"]
