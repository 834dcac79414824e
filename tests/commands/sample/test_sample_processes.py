"""`swincli sample` on several ranks, started by torchrun."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sampled_models import pixels, sample
from torchrun import torchrun


def shared(model: Path, out: Path, *arguments: str) -> tuple[int, str, str]:
    done = torchrun("-m", "--", "swincli", "sample", "--checkpoint", model, "--out", out, "--device", "cpu", *arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_two_processes_draw_the_images_of_one(model: Path, tmp_path: Path) -> None:
    """Pixels of a seed differ by at most one level of 255 between batch sizes and numbers of ranks."""
    arguments = ["--count", "7", "--truncation", "0.8", "--sweep", "pca:0", "--sweep-steps", "2"]
    assert sample(model, tmp_path / "one", *arguments, "--grid", "4x2", "--batch", "7") == 0
    assert sample(model, tmp_path / "two", *arguments[:4], "--seeds", "2", "--count", "2") == 0
    code, out, said = shared(model, tmp_path / "two", *arguments, "--grid", "4x2", "--json")
    assert code == 0, said
    assert json.loads(out)["count"] == 7
    assert said.count("2 of 7 images already exist") == 1
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert len(names) == 7 + 7 + 1
    for name in names:
        assert np.abs(pixels(tmp_path / "one" / name) - pixels(tmp_path / "two" / name)).max() <= 1


@pytest.mark.slow
def test_what_is_wrong_is_said_once(model: Path, tmp_path: Path) -> None:
    assert sample(model, tmp_path / "out", "--seeds", "3", "--truncation", "0.5") == 0
    code, out, said = shared(model, tmp_path / "out", "--count", "4", "--format", "png")
    assert code != 0
    assert out == ""
    assert said.count("error: ") == 1
    assert "seed-000003.png: exists, and was made with other settings" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["seed-000003.png"]


@pytest.mark.slow
def test_a_product_is_packed_by_one(model: Path, tmp_path: Path) -> None:
    code, out, said = shared(model, tmp_path / "out", "--count", "5", "--format", "npz", "--batch", "2")
    assert code == 0, said
    assert out.splitlines() == [str(tmp_path / "out/images.npz")]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["images.npz"]
    assert sample(model, tmp_path / "alone", "--count", "5", "--format", "npz") == 0
    with np.load(tmp_path / "out/images.npz") as ours, np.load(tmp_path / "alone/images.npz") as theirs:
        assert np.abs(ours["arr_0"].astype(int) - theirs["arr_0"]).max() <= 1
        assert ours["names"].tolist() == theirs["names"].tolist()
