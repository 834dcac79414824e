"""Latent files: reading, writing, and files that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from swincli.errors import DataError
from swincli.recipe.schema import ModelSection
from swincli.synthesis.latents.files import Latents, LatentSpace, read_latents, write_latents

SECTION = ModelSection(size=16, latent_dim=8)


@pytest.mark.parametrize(("name", "shape"), [("z", (3, 8)), ("w", (2, 8)), ("w_plus", (1, 6, 8))])
def test_each_space_is_read(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape)
    np.savez(tmp_path / "a.npz", **{name: values})
    latents = read_latents(tmp_path / "a.npz", SECTION)
    assert latents.space == name
    assert len(latents) == shape[0]
    np.testing.assert_array_equal(latents.values.numpy(), values.astype(np.float32))


def test_stylegans_projected_w_is_w_plus(tmp_path: Path) -> None:
    np.savez(tmp_path / "projected_w.npz", w=np.zeros((1, 6, 8), np.float32))
    assert read_latents(tmp_path / "projected_w.npz", SECTION).space == "w_plus"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds nothing"),
        ({"x": np.zeros((1, 8))}, "holds x; exactly one"),
        ({"z": np.zeros((1, 8)), "w": np.zeros((1, 8))}, "exactly one of z, w and w_plus"),
        ({"z": np.zeros((1, 9))}, r"z is float64 \[1, 9\]; this model needs \[N, 8\]"),
        ({"w_plus": np.zeros((1, 14, 8))}, r"this model needs \[N, 6, 8\]"),
        ({"w": np.zeros((0, 8))}, "this model needs"),
        ({"z": np.full((1, 8), np.nan)}, "not finite"),
        ({"z": np.array([["a"] * 8])}, "z is <U1"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        read_latents(tmp_path / "a.npz", SECTION)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut short"])
def test_garbage_and_missing_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: damaged, or not an \.npz file"):
        read_latents(tmp_path / "a.npz", SECTION)
    with pytest.raises(DataError, match=r"b\.npz: no such file"):
        read_latents(tmp_path / "b.npz", SECTION)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", z=np.array([{"code": 1}], dtype=object))
    with pytest.raises(DataError, match="damaged, or not"):
        read_latents(tmp_path / "a.npz", SECTION)


@pytest.mark.parametrize("space", ["z", "w", "w_plus"])
def test_what_is_written_is_read(tmp_path: Path, space: LatentSpace) -> None:
    values = torch.randn(2, 6, 8) if space == "w_plus" else torch.randn(2, 8)
    write_latents(tmp_path / "new/a.npz", Latents(space, values), {"model": "0123456789ab", "seeds": "1,2"})
    latents = read_latents(tmp_path / "new/a.npz", SECTION)
    assert latents.space == space
    assert torch.equal(latents.values, values)
    with np.load(tmp_path / "new/a.npz") as arrays:
        assert str(arrays["model"]) == "0123456789ab"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.npz"]
