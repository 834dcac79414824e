"""PSNR and SSIM equal those of scikit-image."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from swincli.projection.output_files import save_records
from swincli.projection.psnr_ssim import psnr, ssim


def pictures(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    one = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise = random.integers(-40, 41, one.shape)
    return one, (one.astype(int) + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(11, 11), (16, 16), (24, 37)])
def test_both_are_as_by_scikit_image(height: int, width: int) -> None:
    one, other = pictures(height, height, width)
    given = torch.from_numpy(one), torch.from_numpy(other)
    assert psnr(*given) == pytest.approx(peak_signal_noise_ratio(one, other), abs=1e-9)
    expected = structural_similarity(
        one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, data_range=255
    )
    assert ssim(*given) == pytest.approx(expected, abs=1e-9)


def test_equal_pictures() -> None:
    one, _ = (torch.from_numpy(picture) for picture in pictures(1, 16, 16))
    assert psnr(one, one) == math.inf
    assert ssim(one, one) == pytest.approx(1)


def test_pictures_below_the_window_have_a_smaller_one() -> None:
    one, other = (torch.from_numpy(picture) for picture in pictures(2, 8, 8))
    assert ssim(one, other) < ssim(one, one) == pytest.approx(1)


def test_an_exact_result_is_null_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "projections.json"
    path.write_text('{"results": [{"latents": "a.npz", "psnr": Infinity}]}')  # of an earlier version
    save_records(path, [{"latents": "b.npz", "psnr": math.inf}])

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads(path.read_text(), parse_constant=refuse)["results"]
    assert [entry["psnr"] for entry in found] == [None, None]
