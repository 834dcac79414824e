"""Inception score (IS): how confident and how diverse a classifier's labels are (Salimans et al., NeurIPS 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPLITS = 10


@dataclass(frozen=True)
class InceptionScore:
    """Mean over parts of the images, and standard deviation between the parts."""

    mean: float
    deviation: float


def inception_score(logits: NDArray[np.floating], splits: int = SPLITS) -> InceptionScore:
    """`exp(E KL(p(y | x) || p(y)))`, where p(y) is the mean of p(y | x) over the images of a part.

    Args:
        logits: Class logits [N, C], in the order of the images.
        splits: Number of parts, each of consecutive images; at most N.
    """
    logs = log_probabilities(logits)
    scores = [_score(part) for part in np.array_split(logs, min(splits, len(logs)))]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def log_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log-softmax [N, C] of logits [N, C], in float64 and without overflow."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def _score(logs: NDArray[np.float64]) -> float:
    """Inception score of one part from its log probabilities [N, C]."""
    shares = np.exp(logs)
    together = np.log(shares.mean(axis=0) + np.finfo(np.float64).tiny)
    return float(np.exp((shares * (logs - together)).sum(axis=1).mean()))
