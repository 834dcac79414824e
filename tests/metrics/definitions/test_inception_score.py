"""The inception score of logits whose score is known."""

from __future__ import annotations

import numpy as np
import pytest

from swincli.metrics.definitions.inception_score import inception_score


def test_sure_and_various_is_the_number_of_classes() -> None:
    logits = np.tile(100 * np.eye(7), (20, 1))
    assert inception_score(logits, splits=1).mean == pytest.approx(7)


def test_unsure_or_all_the_same_is_1() -> None:
    assert inception_score(np.zeros((50, 7))).mean == pytest.approx(1)
    assert inception_score(np.tile([9.0, 0, 0], (50, 1))).mean == pytest.approx(1)


def test_the_formula_with_probabilities() -> None:
    logits = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32) * 3
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    scores = []
    for part in np.split(shares, 3):
        kl = (part * np.log(part / part.mean(axis=0))).sum(axis=1)
        scores.append(np.exp(kl.mean()))
    result = inception_score(logits, splits=3)
    assert result.mean == pytest.approx(np.mean(scores), rel=1e-9)
    assert result.deviation == pytest.approx(np.std(scores), rel=1e-9)


def test_large_logits_do_not_overflow() -> None:
    assert np.isfinite(inception_score(np.array([[1e4, 0.0], [0.0, 1e4]]), splits=1).mean)
