"""Spectra of pictures with known spectra, and the grid of windows in them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from spectra import spectrum_of

from swincli.errors import DataError
from swincli.metrics.definitions.radial_profile import RadialProfile, spectral_distance
from swincli.metrics.definitions.spectrum import LUMA, PARTS, ImageSpectrum, Spectrum
from swincli.metrics.plots.spectrum import plot_spectra


def noise(side: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def mean_spectrum(pictures: list[np.ndarray]) -> RadialProfile:
    return spectrum_of(pictures).profile


def gray(luma: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(luma, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_white_noise_is_flat_and_a_wave_is_a_peak() -> None:
    flat = mean_spectrum([noise(seed=seed) for seed in range(40)]).by_frequency()
    assert flat.std() < 0.5
    x = np.arange(64)
    wave = mean_spectrum([gray(127 + 100 * np.sin(2 * np.pi * 12 * x / 64)[None].repeat(64, axis=0))]).by_frequency()
    assert wave.argmax() == 12 - 1


def test_one_colour_has_a_spectrum_too() -> None:
    assert np.isfinite(spectrum_of([np.full((32, 32, 3), 77, np.uint8)]).profile.by_frequency()).all()


def smooth(seed: int, side: int = 64) -> np.ndarray:
    """A picture of a few long waves, [side, side]; photographs also have most power at low frequencies."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = (np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in random.uniform(-3, 3, (6, 3)))
    return 127 + 18 * sum(waves) + random.normal(0, 1, (side, side))


def rolled_in_windows(luma: np.ndarray, window: int = 8, by: int = 2) -> np.ndarray:
    side = len(luma) // window
    windows = luma.reshape(side, window, side, window)
    return np.roll(windows, (by, by), axis=(1, 3)).reshape(luma.shape)


def compressed(picture: np.ndarray, quality: int = 10) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_a_grid_of_windows_shows_in_the_pictures_that_have_one() -> None:
    plain = mean_spectrum([gray(smooth(seed)) for seed in range(30)])
    others = mean_spectrum([gray(smooth(seed)) for seed in range(100, 130)])
    shifted = mean_spectrum([gray(rolled_in_windows(smooth(seed))) for seed in range(30)])
    blocky = mean_spectrum([compressed(gray(smooth(seed))) for seed in range(30)])
    assert others.grid_excess() == pytest.approx(plain.grid_excess(), abs=0.3)
    assert shifted.grid_excess() > plain.grid_excess() + 3
    assert blocky.grid_excess() > plain.grid_excess() + 3
    assert shifted.edges_by_position().argmax() in (0, 2)  # at the border, and where the rolled ends meet
    assert blocky.edges_by_position().argmax() == 0


def test_a_grid_shows_wherever_it_lies_and_also_beside_a_second_one() -> None:
    pictures = [smooth(seed) for seed in range(30)]
    plain = mean_spectrum([gray(picture) for picture in pictures])
    both = [rolled_in_windows(picture) for picture in pictures]
    both = [np.roll(rolled_in_windows(np.roll(picture, (4, 4), (0, 1))), (-4, -4), (0, 1)) for picture in both]
    assert mean_spectrum([gray(picture) for picture in both]).grid_excess() > plain.grid_excess() + 2
    for offset in (1, 4):
        moved = mean_spectrum(
            [gray(np.roll(rolled_in_windows(picture), (offset,) * 2, (0, 1))) for picture in pictures]
        )
        assert moved.grid_excess() > plain.grid_excess() + 3
        assert moved.edges_by_position().argmax() in (offset, offset + 2)


def test_edges_by_position_are_the_mean_squared_differences() -> None:
    picture = noise(24)
    luma = picture @ np.array(LUMA)
    expected = []
    for position in range(8):
        across = [(luma[:, x] - luma[:, x - 1]) ** 2 for x in range(8 + position, 24, 8)]
        down = [(luma[y] - luma[y - 1]) ** 2 for y in range(8 + position, 24, 8)]
        expected.append(10 * np.log10((np.mean(across) + np.mean(down)) / 2))
    np.testing.assert_allclose(
        spectrum_of([picture]).profile.edges_by_position(), expected - np.median(expected), atol=1e-6
    )


def test_small_pictures_have_no_grid_to_speak_of() -> None:
    assert np.isnan(spectrum_of([noise(8)]).profile.grid_excess())


def test_sums_of_another_shape_are_no_spectrum() -> None:
    with pytest.raises(ValueError, match=r"not \[3, H, W\]"):
        Spectrum(1, np.zeros((8, 8)))
    with pytest.raises(ValueError, match=r"not \[32, 21\]"):
        Spectrum(1, np.zeros((3, 8, 8)), np.zeros((32, 20)))


def test_the_plot_shows_both_sides(tmp_path: Path) -> None:
    one, other = mean_spectrum([gray(smooth(0))]), mean_spectrum([gray(rolled_in_windows(smooth(1)))])
    plot_spectra(tmp_path / "spectrum.png", other, one)
    plot_spectra(tmp_path / "same.png", one, one)
    with Image.open(tmp_path / "spectrum.png") as plot, Image.open(tmp_path / "same.png") as same:
        assert plot.format == "PNG"
        assert plot.width > 800
        assert plot.tobytes() != same.tobytes()


def test_what_has_no_grid_or_no_power_can_be_drawn_too(tmp_path: Path) -> None:
    for name, picture in (("small", noise(8)), ("black", np.zeros((32, 32, 3), np.uint8))):
        plot_spectra(tmp_path / f"{name}.png", spectrum_of([picture]).profile, spectrum_of([picture]).profile)
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_distance() -> None:
    one, other = (mean_spectrum([noise(seed=seed + start) for seed in range(20)]) for start in (0, 100))
    dimmer = mean_spectrum([noise(seed=seed) // 10 for seed in range(20)])
    assert spectral_distance(one, one) == 0
    assert spectral_distance(one, other) < 0.6
    assert spectral_distance(one, dimmer) == pytest.approx(20, abs=1)


def test_the_parts_are_of_all_pictures_whatever_their_order() -> None:
    pictures = [noise(24, seed) for seed in range(50)]
    spectra = [spectrum_of(order) for order in (pictures, pictures[::-1])]
    whole, (one, other) = spectra[0].profile, (spectrum.parts for spectrum in spectra)
    assert one.shape == (PARTS, 1 + 12 + 24 + 24)
    np.testing.assert_allclose(one, other, rtol=1e-9)
    np.testing.assert_allclose(one.sum(axis=0), [50, *whole.sums], rtol=1e-6)
    assert 20 < np.count_nonzero(one[:, 0]) <= PARTS


def test_a_profile_without_a_part_is_that_of_the_other_pictures() -> None:
    pictures = [noise(24, seed) for seed in range(9)]
    spectrum = spectrum_of(pictures)
    parts = [ImageSpectrum.from_image(picture).part for picture in pictures]
    remaining = spectrum.profiles_without_parts()
    assert len(remaining) == len(set(parts))
    for part, found in zip(sorted(set(parts)), remaining, strict=True):
        expected = mean_spectrum([picture for picture, own in zip(pictures, parts, strict=True) if own != part])
        assert found.count == expected.count
        np.testing.assert_allclose(found.by_frequency(), expected.by_frequency(), atol=1e-5)
        assert found.grid_excess() == pytest.approx(expected.grid_excess(), abs=1e-5)


def test_one_picture_has_no_part_to_leave_out() -> None:
    assert spectrum_of([noise()]).profiles_without_parts() == []
    assert Spectrum(3, np.ones((3, 8, 8))).profiles_without_parts() == []


def test_sums_in_place_are_those_of_merging_one_by_one() -> None:
    pictures = [noise(24, seed) for seed in range(40)]
    whole, merged = spectrum_of(pictures), spectrum_of(pictures[:1])
    for picture in pictures[1:]:
        merged = merged.merge(spectrum_of([picture]))
    assert whole.count == merged.count == 40
    np.testing.assert_array_equal(whole.total, merged.total)
    np.testing.assert_array_equal(whole.parts, merged.parts)


def test_an_image_that_waits_takes_little_more_than_its_spectrum() -> None:
    one = ImageSpectrum.from_image(noise(256))
    assert one.total.nbytes + one.sums.nbytes < 1.01 * 3 * 256 * 256 * 4


def test_images_of_two_sizes_have_no_sum() -> None:
    with pytest.raises(DataError, match="24 x 24 and 16 x 16 px"):
        spectrum_of([noise(24), noise(16)])
