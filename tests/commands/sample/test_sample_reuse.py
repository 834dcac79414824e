"""Commands that draw several images of shared codes: each level runs once for them, and the images are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sampled_models import pixels, sample

from swincli.commands.app import run
from swincli.model.files.model_file import load_model
from swincli.model.generator import Level
from swincli.synthesis.figures.mixing import mix_codes
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.output.provenance import read_note
from swincli.synthesis.sampling import render


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """How many images have passed the level of each side."""
    passed = dict.fromkeys((4, 8, 16), 0)
    plain = Level.forward

    def forward(self: Level, x: torch.Tensor, *given: Any, **how: Any) -> torch.Tensor:
        passed[x.shape[1]] += len(x)
        return plain(self, x, *given, **how)

    monkeypatch.setattr(Level, "forward", forward)
    return passed


def test_a_mix_computes_the_shared_levels_of_a_column_once(model: Path, tmp_path: Path, runs: dict[int, int]) -> None:
    assert sample(model, tmp_path, "--mix", "1,5:9,11@coarse") == 0
    assert runs == {4: 4, 8: 4, 16: 8}
    loaded = load_model(model, torch.device("cpu"))
    codes = {seed: codes_of_seeds(loaded, [seed]) for seed in (1, 5, 9, 11)}
    for row, column in ((1, 9), (1, 11), (5, 9), (5, 11)):
        alone = render(loaded, mix_codes(codes[row], codes[column], range(4)))[0].numpy()
        np.testing.assert_array_equal(pixels(tmp_path / f"seed-{row:06d}-mix-{column:06d}.png"), alone)


def test_a_sweep_of_the_last_codes_computes_the_others_once(model: Path, tmp_path: Path, runs: dict[int, int]) -> None:
    sweep = ["--sweep", "pca:0,1@4,5", "--sweep-steps", "3"]
    assert sample(model, tmp_path / "a", "--seeds", "4", *sweep) == 0
    assert runs == {4: 2, 8: 2, 16: 7}  # the image itself, and the page
    assert sample(model, tmp_path / "b", "--seeds", "4", *sweep, "--batch", "6") == 0
    assert runs == {4: 9, 8: 9, 16: 14}
    pages = [pixels(tmp_path / name / "seed-000004-sweep-pca-0,1-4,5.png") for name in ("a", "b")]
    assert np.abs(pages[0] - pages[1]).max() <= 1


def test_a_walk_of_the_last_codes_computes_the_others_once(model: Path, tmp_path: Path, runs: dict[int, int]) -> None:
    walk = ["interpolate", "--checkpoint", str(model), "--seeds", "1,5", "--frames", "5", "--device", "cpu", "-q"]
    assert run([*walk, "--mix", "9@coarse", "--out", str(tmp_path / "fixed")]) == 0
    assert runs == {4: 1, 8: 1, 16: 5}
    assert run([*walk, "--mix", "9@1-3", "--out", str(tmp_path / "moving")]) == 0
    assert runs == {4: 6, 8: 6, 16: 10}


def test_previews_have_the_size_of_the_images_and_name_their_side(
    model: Path, tmp_path: Path, runs: dict[int, int]
) -> None:
    assert sample(model, tmp_path / "a", "--seeds", "0-1", "--preview", "8", "--grid", "2x1") == 0
    assert runs == {4: 2, 8: 0, 16: 0}
    assert sample(model, tmp_path / "b", "--seeds", "0-1", "--grid", "2x1") == 0
    previews, images = ([pixels(tmp_path / name / f"seed-{seed:06d}.png") for seed in (0, 1)] for name in "ab")
    assert previews[0].shape == images[0].shape
    assert np.abs(previews[0] - images[0]).max() > 1
    np.testing.assert_array_equal(pixels(tmp_path / "a/grid.png")[:, :16], previews[0])
    for name in ("seed-000000", "grid"):
        assert " preview=8" in (read_note(tmp_path / f"a/{name}.png") or "")
    assert sample(model, tmp_path / "a", "--seeds", "0") == 1  # another image is in the way
