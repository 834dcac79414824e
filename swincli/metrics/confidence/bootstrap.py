"""Bootstrap resamples of FID, KID and the inception score, and jackknife deviations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.inception_score import SPLITS, log_probabilities
from swincli.metrics.definitions.kid import cubic_kernel
from swincli.metrics.definitions.moments import Moments

Array = NDArray[np.float64]
Sampler = Callable[[], float]
"""Returns the metric of a new bootstrap resample on each call."""

MAX_GRAM_ENTRIES = 5 * 10**7  # of a Gram matrix in float64: 0.4 GiB
MAX_KERNEL_SIDE = 2000  # images per side for KID's interval
CHEAP_RESAMPLES = 200  # for resamples of single numbers
_BLOCK = 4096  # images per block of moments


def fid_sampler(fakes: NDArray[np.floating], reals: NDArray[np.floating] | Moments, seed: int) -> Sampler:
    """FID of fakes and reals that are resampled with replacement on each call.

    With N < D fakes, the trace of (S1 S2)^(1/2) comes from a Gram matrix: with the centred features A [N, D] and
    B [M, D] of the two sides, S1 = AᵀA and S2 = BᵀB up to factors 1 / (N - 1) and 1 / (M - 1), the trace is the sum of
    the singular values of A Bᵀ [N, M]. A resample takes rows and columns of A Bᵀ.

    Args:
        fakes: Features [N, D].
        reals: Features [M, D]; or only their moments, which are not resampled.
        seed: Seed of the resamples.
    """
    random = np.random.default_rng((seed, 2))
    pairs = len(fakes) * (len(fakes) if isinstance(reals, Moments) else len(reals))
    if len(fakes) < fakes.shape[1] and pairs <= MAX_GRAM_ENTRIES:
        return fid_by_gram_matrix(fakes, reals, random)
    return fid_by_moments(fakes, reals, random)


def fid_by_moments(
    fakes: NDArray[np.floating], reals: NDArray[np.floating] | Moments, random: np.random.Generator
) -> Sampler:
    """`fid_sampler` from the moments of each resample; works for any number of images."""

    def sample() -> float:
        one = _moments(fakes, _bootstrap_counts(len(fakes), random))
        other = reals if isinstance(reals, Moments) else _moments(reals, _bootstrap_counts(len(reals), random))
        return frechet_distance(one, other)

    return sample


def fid_by_gram_matrix(
    fakes: NDArray[np.floating], reals: NDArray[np.floating] | Moments, random: np.random.Generator
) -> Sampler:
    """`fid_sampler` from the Gram matrix of fakes and reals; fast with few images."""
    if isinstance(reals, Moments):
        return _gram_against_moments(fakes.astype(np.float64), reals, random)
    middle = reals.astype(np.float64).mean(axis=0)
    f, r = fakes - middle, reals - middle
    gram, f_squares, r_squares = f @ r.T, np.square(f).sum(axis=1), np.square(r).sum(axis=1)

    def sample() -> float:
        w, v = _bootstrap_counts(len(f), random), _bootstrap_counts(len(r), random)
        f_mean, r_mean = w @ f / len(f), v @ r / len(r)
        rows, columns = w > 0, v > 0
        centred = gram[np.ix_(rows, columns)] + f_mean @ r_mean
        centred -= (f[rows] @ r_mean)[:, None] + r[columns] @ f_mean
        scaled = np.sqrt(w[rows] / (len(f) - 1))[:, None] * centred * np.sqrt(v[columns] / (len(r) - 1))
        square = scaled @ scaled.T if len(scaled) <= scaled.shape[1] else scaled.T @ scaled
        traces = _trace(w, f_squares, f_mean) + _trace(v, r_squares, r_mean)
        return float(np.square(f_mean - r_mean).sum() + traces - 2.0 * _root_trace(square))

    return sample


def _gram_against_moments(fakes: Array, reals: Moments, random: np.random.Generator) -> Sampler:
    """The same with moments for the reals: A S2 Aᵀ instead of A Bᵀ B Aᵀ."""
    covariance = reals.covariance
    f = fakes - reals.mean
    weighted = f @ covariance
    gram, squares, total = weighted @ f.T, np.square(f).sum(axis=1), float(np.trace(covariance))

    def sample() -> float:
        w = _bootstrap_counts(len(f), random)
        mean = w @ f / len(f)
        rows = w > 0
        away = weighted[rows] @ mean
        centred = gram[np.ix_(rows, rows)] - away[:, None] - away + mean @ covariance @ mean
        roots = np.sqrt(w[rows] / (len(f) - 1))
        overlap = _root_trace(roots[:, None] * centred * roots)
        return float(np.square(mean).sum() + _trace(w, squares, mean) + total - 2.0 * overlap)

    return sample


def kid_sampler(fakes: NDArray[np.floating], reals: NDArray[np.floating], seed: int) -> tuple[Sampler, float]:
    """The squared MMD of fakes and reals that are resampled with replacement, and a factor for its deviation.

    Pairs of an image with itself are excluded, also if it was drawn twice; so the estimate stays unbiased. A side with
    more than `MAX_KERNEL_SIDE` images is cut to that number. The deviation falls with the square root of the number;
    multiply the samples' deviation by the factor to get that of all images.
    """
    random = np.random.default_rng((seed, 3))
    f, r = (_subsample(side, MAX_KERNEL_SIDE, random) for side in (fakes, reals))
    share = max(len(f) / len(fakes), len(r) / len(reals))
    ff, rr, fr = cubic_kernel(f, f), cubic_kernel(r, r), cubic_kernel(f, r)
    np.fill_diagonal(ff, 0.0)
    np.fill_diagonal(rr, 0.0)

    def sample() -> float:
        w, v = _bootstrap_counts(len(f), random), _bootstrap_counts(len(r), random)
        return _mean_of_pairs(ff, w) + _mean_of_pairs(rr, v) - 2.0 * float(w @ fr @ v) / (len(f) * len(r))

    return sample, float(np.sqrt(share))


def inception_score_sampler(logits: NDArray[np.floating], seed: int) -> Sampler:
    """The inception score with images resampled within each of its parts; `logits` [N, C]."""
    random = np.random.default_rng((seed, 4))
    logs = log_probabilities(logits)
    shares = np.exp(logs)
    own = (shares * logs).sum(axis=1)
    parts = np.array_split(np.arange(len(logs)), min(SPLITS, len(logs)))

    def score(part: NDArray[np.int64]) -> float:
        w = _bootstrap_counts(len(part), random) / len(part)
        together = w @ shares[part]
        return float(np.exp(w @ own[part] - together @ np.log(together + np.finfo(np.float64).tiny)))

    return lambda: float(np.mean([score(part) for part in parts]))


def resampled_deviation(
    values: Array, measure: Callable[[Array], float], seed: int, times: int = CHEAP_RESAMPLES
) -> float:
    """Standard deviation of `measure` over bootstrap resamples of `values` [N]."""
    random = np.random.default_rng((seed, 5))
    return float(np.std([measure(random.choice(values, len(values))) for _ in range(times)]))


def jackknife_deviation(without: Sequence[float]) -> float:
    """Standard deviation by the delete-a-group jackknife (Quenouille 1956, Tukey 1958).

    It is exact for means if all parts have the same size.

    Args:
        without: G values, each computed without one of G parts of the images; empty gives 0.
    """
    return float(np.sqrt(len(without) - 1) * np.std(without)) if without else 0.0


def _bootstrap_counts(number: int, random: np.random.Generator) -> Array:
    """How often each of `number` images is drawn in `number` draws, float64 [number]; not all draws are the same."""
    while True:
        counts = np.bincount(random.integers(number, size=number), minlength=number).astype(np.float64)
        if number < 2 or np.count_nonzero(counts) > 1:
            return counts


def _moments(features: NDArray[np.floating], counts: Array) -> Moments:
    """Moments of features [N, D] that were drawn `counts` times."""
    indices = np.repeat(np.arange(len(features)), counts.astype(np.int64))
    total = Moments.from_features(features[indices[:_BLOCK]])
    for start in range(_BLOCK, len(indices), _BLOCK):
        total = total.merge(Moments.from_features(features[indices[start : start + _BLOCK]]))
    return total


def _trace(counts: Array, squares: Array, mean: Array) -> float:
    """Trace of the covariance of a resample, from the squared norms [N] of the features and their mean [D]."""
    number = counts.sum()
    return float((counts @ squares - number * mean @ mean) / (number - 1))


def _root_trace(square: Array) -> float:
    """Trace of the square root of a symmetric matrix."""
    return float(np.sqrt(np.linalg.eigvalsh(square).clip(min=0.0)).sum())


def _subsample(features: NDArray[np.floating], limit: int, random: np.random.Generator) -> Array:
    if len(features) > limit:
        features = features[random.choice(len(features), limit, replace=False)]
    return features.astype(np.float64)


def _mean_of_pairs(kernel: Array, counts: Array) -> float:
    """Mean of a kernel [N, N] with an empty diagonal, over pairs of different images drawn `counts` times."""
    return float(counts @ kernel @ counts / (counts.sum() ** 2 - counts @ counts))
