"""Inception score (Salimans et al., NeurIPS 2016): how surely and how variously a classifier names the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPLITS = 10


@dataclass(frozen=True)
class InceptionScore:
    """Its mean over parts of the pictures, and the standard deviation between them."""

    mean: float
    deviation: float


def inception_score(logits: NDArray[np.floating], splits: int = SPLITS) -> InceptionScore:
    """`exp(E KL(p(y | x) || p(y)))`, where p(y) is the mean of p(y | x) over the pictures of a part.

    Args:
        logits: Of the classes, [N, C], in the order in which the pictures came.
        splits: Parts, each of consecutive pictures; fewer where there are fewer pictures.
    """
    logs = log_probabilities(logits)
    scores = [_score(part) for part in np.array_split(logs, min(splits, len(logs)))]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def log_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithms of the classes' probabilities, [N, C], from their logits; large ones do not overflow."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def _score(logs: NDArray[np.float64]) -> float:
    """Of log probabilities [N, C]."""
    shares = np.exp(logs)
    together = np.log(shares.mean(axis=0) + np.finfo(np.float64).tiny)
    return float(np.exp((shares * (logs - together)).sum(axis=1).mean()))
