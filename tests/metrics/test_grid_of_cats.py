"""`window_grid` of AFHQ's cats: only versions with an 8 px grid have an excess."""

from __future__ import annotations

import numpy as np
import pytest
from degraded_cats import write_cats
from PIL import Image
from shared_material import CATS
from spectra import spectrum_of

from swincli.metrics.definitions.radial_profile import RadialProfile, spectral_distance

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CATS.is_file(), reason="AFHQ's cats are not here")]


@pytest.fixture(scope="module")
def spectra(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RadialProfile]:
    root = tmp_path_factory.mktemp("cats")
    write_cats(root, 100)
    found = {}
    for folder in root.iterdir():
        pictures = (np.asarray(Image.open(path)) for path in folder.iterdir())
        found[folder.name] = spectrum_of(pictures).profile
    return found


def test_only_pictures_with_a_grid_of_8_px_have_an_excess(spectra: dict[str, RadialProfile]) -> None:
    excess = {name: spectrum.grid_excess() - spectra["cats"].grid_excess() for name, spectrum in spectra.items()}
    assert abs(excess["others"]) < 0.3
    assert abs(excess["blurred"]) < 0.6
    assert excess["compressed"] > 3
    assert excess["shifted"] > 5


def test_every_change_is_farther_than_other_cats(spectra: dict[str, RadialProfile]) -> None:
    distance = {name: spectral_distance(spectrum, spectra["cats"]) for name, spectrum in spectra.items()}
    assert distance["others"] < 1.5
    assert min(distance[name] for name in ("blurred", "compressed", "shifted")) > 2 * distance["others"]
