"""Spectra of pictures whose spectra are known, and the grid of windows in them."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from swincli.metrics.spectrum import Spectrum, spectral_distance


def noise(side: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def mean_spectrum(pictures: list[np.ndarray]) -> Spectrum:
    return reduce(Spectrum.merge, map(Spectrum.of, pictures))


def gray(luma: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(luma, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_white_noise_is_flat_and_a_wave_is_a_peak() -> None:
    flat = mean_spectrum([noise(seed=seed) for seed in range(40)]).by_frequency()
    assert flat.std() < 0.5
    x = np.arange(64)
    wave = Spectrum.of(gray(127 + 100 * np.sin(2 * np.pi * 12 * x / 64)[None].repeat(64, axis=0))).by_frequency()
    assert wave.argmax() == 12 - 1


def test_one_colour_has_a_spectrum_too() -> None:
    assert np.isfinite(Spectrum.of(np.full((32, 32, 3), 77, np.uint8)).by_frequency()).all()


def test_a_grid_shows_in_the_pictures_that_have_one() -> None:
    plain = mean_spectrum([noise(128, seed) for seed in range(30)])
    # brightness that changes from window to window has its nulls on the grid's lines; edges along it have peaks there
    lines = [noise(128, seed).copy() for seed in range(30)]
    for picture in lines:
        picture[::8] = picture[::8] // 2
        picture[:, ::8] = picture[:, ::8] // 2
    assert abs(plain.grid_excess()) < 2
    assert mean_spectrum(lines).grid_excess() > plain.grid_excess() + 10
    assert abs(mean_spectrum(lines).grid_excess(period=16) - plain.grid_excess(period=16)) > 3


def test_small_pictures_have_no_grid_to_speak_of() -> None:
    assert np.isnan(Spectrum.of(noise(16)).grid_excess())


def test_distance() -> None:
    one, other = (mean_spectrum([noise(seed=seed + start) for seed in range(20)]) for start in (0, 100))
    dimmer = mean_spectrum([noise(seed=seed) // 10 for seed in range(20)])
    assert spectral_distance(one, one) == 0
    assert spectral_distance(one, other) < 0.6
    assert spectral_distance(one, dimmer) == pytest.approx(20, abs=1)
