"""Boundaries in w: a planted factor is found, conditions are orthogonal, and what has no boundary is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from swincli.errors import DataError
from swincli.metrics.directions.boundary import find_boundary, orthogonal_to


def _planted(count: int = 2000, dims: int = 16, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w, the true unit direction of a factor, and noisy scores of it."""
    random = np.random.default_rng(0)
    truth = random.normal(size=dims)
    truth /= np.linalg.norm(truth)
    w = random.normal(size=(count, dims)).astype(np.float32)
    return w, truth, w @ truth + noise * random.normal(size=count)


def test_a_planted_factor_is_found() -> None:
    w, truth, scores = _planted()
    found = find_boundary(w, scores, share=0.1)
    assert found.normal @ truth > 0.95
    assert np.linalg.norm(found.normal) == pytest.approx(1)
    assert found.accuracy > 0.95
    assert found.correlation > 0.85
    assert found.images == (400, 120)


def test_more_is_positive_and_the_opposite_scores_give_the_opposite() -> None:
    w, truth, scores = _planted()
    assert find_boundary(w, -scores, share=0.1).normal @ truth < -0.95


def test_labels_by_hand_of_uneven_number_are_enough() -> None:
    w, truth, scores = _planted()
    labels = (scores > np.quantile(scores, 0.9)).astype(float)
    found = find_boundary(w, labels, share=0.1)
    assert found.images[0] == 2000
    assert found.normal @ truth > 0.9
    assert found.accuracy > 0.85


def test_scores_without_a_direction_are_at_chance() -> None:
    w, _, _ = _planted()
    found = find_boundary(w, np.random.default_rng(1).normal(size=2000), share=0.1)
    assert 0.3 < found.accuracy < 0.7
    assert abs(found.correlation) < 0.15


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (np.ones(100), "all are equal"),
        (np.r_[np.ones(3), np.zeros(97)], "3 images with high"),
        (np.arange(50.0), "5 images"),
    ],
)
def test_scores_that_tell_nothing_are_refused(scores: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        find_boundary(np.zeros((len(scores), 4), np.float32), scores, share=0.1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_conditional_normal_is_orthogonal(count: int) -> None:
    random = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(16, generator=random), dim=0)
    others = torch.randn(count, 16, generator=random)
    if count == 3:
        others[2] = others[0] + 1e-3 * others[1]  # nearly dependent
    free = orthogonal_to(normal.double(), others)
    assert (others.double() @ free).abs().max().item() < 1e-6 if count else torch.equal(free, normal.double())
    assert free.norm().item() == pytest.approx(1)
    assert (free @ normal.double()).item() > 0


def test_nothing_is_left_of_a_direction_without_itself() -> None:
    normal = torch.tensor([0.6, 0.8, 0.0])
    with pytest.raises(DataError, match="made of these alone"):
        orthogonal_to(normal, torch.stack([2 * normal, torch.tensor([0.0, 0.0, 1.0])]))
