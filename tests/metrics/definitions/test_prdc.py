"""Precision, recall, density and coverage against their definitions, the package prdc and known distributions."""

from __future__ import annotations

import numpy as np
import prdc
import pytest
import torch

from swincli.metrics.definitions import prdc as prdc_module
from swincli.metrics.definitions.prdc import compute_prdc, neighbour_distances


def as_in_the_definitions(fakes: np.ndarray, reals: np.ndarray, k: int) -> dict[str, float]:
    """The definitions with full distance matrices, as in Naeem et al.'s reference."""

    def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))

    r_radius, f_radius = (np.sort(distances(side, side), axis=1)[:, k] for side in (reals, fakes))
    between = distances(reals, fakes)
    inside = between < r_radius[:, None]
    return {
        "precision": inside.any(axis=0).mean(),
        "recall": (between < f_radius[None]).any(axis=1).mean(),
        "density": inside.sum(axis=0).mean() / k,
        "coverage": (between.min(axis=1) < r_radius).mean(),
    }


@pytest.mark.parametrize("block", [7, 2048])
@pytest.mark.parametrize("shift", [0.0, 1.0, 4.0])
def test_blocks_are_the_definitions(monkeypatch: pytest.MonkeyPatch, block: int, shift: float) -> None:
    monkeypatch.setattr(prdc_module, "BLOCK", block)
    random = np.random.default_rng(0)
    fakes, reals = random.standard_normal((60, 5)) + shift, random.standard_normal((80, 5))
    for k in (3, 5):
        result = compute_prdc(fakes, reals, precision_k=k, coverage_k=k)
        for name, value in as_in_the_definitions(fakes, reals, k).items():
            assert getattr(result, name).mean() == pytest.approx(value), name


def test_one_side_against_itself_and_against_another_world() -> None:
    side = np.random.default_rng(0).standard_normal((40, 6))
    same, far = compute_prdc(side, side), compute_prdc(side + 100, side)
    assert all(getattr(same, name).mean() >= 1 for name in ("precision", "recall", "coverage"))
    assert all(getattr(far, name).mean() == 0 for name in ("precision", "recall", "density", "coverage"))


def test_a_dropped_mode_costs_recall_and_coverage_and_not_precision() -> None:
    random = np.random.default_rng(1)
    modes = [random.standard_normal((50, 4)), random.standard_normal((50, 4)) + 20]
    reals = np.concatenate(modes)
    result = compute_prdc(modes[0] + 0.01 * random.standard_normal((50, 4)), reals)
    assert result.precision.mean() > 0.9
    assert result.recall.mean() == pytest.approx(0.5, abs=0.05)
    assert result.coverage.mean() == pytest.approx(0.5, abs=0.05)


def test_a_fake_on_the_border_of_a_region_is_in_it() -> None:
    """Kynkäänniemi et al.'s balls are closed: with four equal reals the third neighbour is at a distance of 0."""
    kinds = np.random.default_rng(3).random((30, 1024), dtype=np.float32) + 2
    copies = compute_prdc(kinds, np.repeat(kinds, 4, axis=0))
    assert copies.precision.all()
    assert copies.recall.all()
    assert compute_prdc(np.repeat(kinds, 4, axis=0), kinds).recall.all()
    line = np.arange(8.0)[:, None]
    assert compute_prdc(np.full((5, 1), -3.0), line).precision.all()  # 3.0 from the first, as is its third neighbour


def test_neighbours_leave_out_oneself_but_not_one_s_twin() -> None:
    x = torch.tensor([[0.0], [0.0], [3.0]], dtype=torch.float64)
    first, second = neighbour_distances(x, 2).T
    assert first.tolist() == [0, 0, 9]
    assert second.tolist() == [9, 9, 9]
    assert neighbour_distances(x, 5)[:, 2:].isinf().all()  # there are no others


def test_precision_needs_one_image_more_than_neighbours() -> None:
    side = np.random.default_rng(4).standard_normal((4, 6))
    assert compute_prdc(side, side).precision.all()


@pytest.mark.parametrize("k", [3, 5])
def test_they_are_prdc_s(k: int) -> None:
    """Naeem et al.'s own package, on the same features."""
    random = np.random.default_rng(2)
    fakes, reals = random.standard_normal((150, 16)) * 0.9 + 0.2, random.standard_normal((200, 16))
    expected = prdc.compute_prdc(real_features=reals, fake_features=fakes, nearest_k=k)
    result = compute_prdc(fakes, reals, precision_k=k, coverage_k=k)
    for name, value in expected.items():
        assert getattr(result, name).mean() == pytest.approx(value, rel=1e-12), name
