"""Values of resampled pictures, or of some left out: how much they would vary from one draw to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.inception_score import SPLITS, log_probabilities
from swincli.metrics.definitions.kid import cubic_kernel
from swincli.metrics.definitions.moments import Moments

Array = NDArray[np.float64]
Sample = Callable[[], float]

LARGEST_PRODUCT = 5 * 10**7  # pairs of pictures whose products are kept: 0.4 GiB
MOST_IN_KERNEL = 2000  # pictures a side that KID's interval is taken from
CHEAP_RESAMPLES = 200  # of single numbers
_BLOCK = 4096


def fid_sampler(fakes: NDArray[np.floating], reals: NDArray[np.floating] | Moments, seed: int) -> Sample:
    """FID of fakes and reals drawn again with replacement, each time it is called.

    Where fakes are fewer than the features are long, the trace of (S1 S2)^(1/2) is taken from the products of pictures:
    with the centred features A [N, D] and B [M, D] of the two sides, S1 = AᵀA and S2 = BᵀB up to their numbers, it is
    the sum of the singular values of A Bᵀ [N, M]; drawing again takes rows and columns of it.

    Args:
        fakes: Features [N, D].
        reals: Features [M, D]; or only their moments, which are then not drawn again.
        seed: Draws.
    """
    random = np.random.default_rng((seed, 2))
    pairs = len(fakes) * (len(fakes) if isinstance(reals, Moments) else len(reals))
    if len(fakes) < fakes.shape[1] and pairs <= LARGEST_PRODUCT:
        return fid_by_products(fakes, reals, random)
    return fid_by_moments(fakes, reals, random)


def fid_by_moments(
    fakes: NDArray[np.floating], reals: NDArray[np.floating] | Moments, random: np.random.Generator
) -> Sample:
    """As `fid_sampler`, by the moments of what was drawn: any number of pictures."""

    def sample() -> float:
        drawn = _moments(fakes, _counts(len(fakes), random))
        other = reals if isinstance(reals, Moments) else _moments(reals, _counts(len(reals), random))
        return frechet_distance(drawn, other)

    return sample


def fid_by_products(
    fakes: NDArray[np.floating], reals: NDArray[np.floating] | Moments, random: np.random.Generator
) -> Sample:
    """As `fid_sampler`, by the products of pictures: quick where they are few."""
    if isinstance(reals, Moments):
        return _against_moments(fakes.astype(np.float64), reals, random)
    middle = reals.astype(np.float64).mean(axis=0)
    f, r = fakes - middle, reals - middle
    products, f_squares, r_squares = f @ r.T, np.square(f).sum(axis=1), np.square(r).sum(axis=1)

    def sample() -> float:
        w, v = _counts(len(f), random), _counts(len(r), random)
        f_mean, r_mean = w @ f / len(f), v @ r / len(r)
        rows, columns = w > 0, v > 0
        centred = products[np.ix_(rows, columns)] + f_mean @ r_mean
        centred -= (f[rows] @ r_mean)[:, None] + r[columns] @ f_mean
        scaled = np.sqrt(w[rows] / (len(f) - 1))[:, None] * centred * np.sqrt(v[columns] / (len(r) - 1))
        square = scaled @ scaled.T if len(scaled) <= scaled.shape[1] else scaled.T @ scaled
        traces = _trace(w, f_squares, f_mean) + _trace(v, r_squares, r_mean)
        return float(np.square(f_mean - r_mean).sum() + traces - 2.0 * _root_trace(square))

    return sample


def _against_moments(fakes: Array, reals: Moments, random: np.random.Generator) -> Sample:
    """The same with one side given by its moments: A S2 Aᵀ in place of A Bᵀ B Aᵀ."""
    covariance = reals.covariance
    f = fakes - reals.mean
    weighted = f @ covariance
    products, squares, total = weighted @ f.T, np.square(f).sum(axis=1), float(np.trace(covariance))

    def sample() -> float:
        w = _counts(len(f), random)
        mean = w @ f / len(f)
        rows = w > 0
        away = weighted[rows] @ mean
        centred = products[np.ix_(rows, rows)] - away[:, None] - away + mean @ covariance @ mean
        roots = np.sqrt(w[rows] / (len(f) - 1))
        overlap = _root_trace(roots[:, None] * centred * roots)
        return float(np.square(mean).sum() + _trace(w, squares, mean) + total - 2.0 * overlap)

    return sample


def kid_sampler(fakes: NDArray[np.floating], reals: NDArray[np.floating], seed: int) -> tuple[Sample, float]:
    """The squared MMD of fakes and reals drawn again with replacement, and by how much its deviation is too large.

    Pairs of a picture with itself stay out, also of one that was drawn twice, so that the estimate remains unbiased.
    Of a side with more than `MOST_IN_KERNEL` pictures that many are used; the deviation falls with the root of the
    number, and the factor takes it to the whole.
    """
    random = np.random.default_rng((seed, 3))
    f, r = (_some(side, MOST_IN_KERNEL, random) for side in (fakes, reals))
    share = max(len(f) / len(fakes), len(r) / len(reals))
    ff, rr, fr = cubic_kernel(f, f), cubic_kernel(r, r), cubic_kernel(f, r)
    np.fill_diagonal(ff, 0.0)
    np.fill_diagonal(rr, 0.0)

    def sample() -> float:
        w, v = _counts(len(f), random), _counts(len(r), random)
        return _different_pairs(ff, w) + _different_pairs(rr, v) - 2.0 * float(w @ fr @ v) / (len(f) * len(r))

    return sample, float(np.sqrt(share))


def score_sampler(logits: NDArray[np.floating], seed: int) -> Sample:
    """The inception score of pictures drawn again within each of its parts; `logits` [N, C]."""
    random = np.random.default_rng((seed, 4))
    logs = log_probabilities(logits)
    shares = np.exp(logs)
    own = (shares * logs).sum(axis=1)
    parts = np.array_split(np.arange(len(logs)), min(SPLITS, len(logs)))

    def score(part: NDArray[np.int64]) -> float:
        w = _counts(len(part), random) / len(part)
        together = w @ shares[part]
        return float(np.exp(w @ own[part] - together @ np.log(together + np.finfo(np.float64).tiny)))

    return lambda: float(np.mean([score(part) for part in parts]))


def resampled_deviation(
    values: Array, measure: Callable[[Array], float], seed: int, times: int = CHEAP_RESAMPLES
) -> float:
    """Standard deviation of what is measured of values [N] that are drawn again with replacement."""
    random = np.random.default_rng((seed, 5))
    return float(np.std([measure(random.choice(values, len(values))) for _ in range(times)]))


def jackknife_deviation(without: Sequence[float]) -> float:
    """Standard deviation of a value from what it is without each of G parts of the pictures, in turn.

    The delete-a-group jackknife (Quenouille 1956, Tukey 1958); exact for means of parts of one size.

    Args:
        without: G values; none where the parts are not known, which then add nothing.
    """
    return float(np.sqrt(len(without) - 1) * np.std(without)) if without else 0.0


def _counts(number: int, random: np.random.Generator) -> Array:
    """How often each of `number` pictures is drawn in `number` draws, at least two of them different; [number]."""
    while True:
        counts = np.bincount(random.integers(number, size=number), minlength=number).astype(np.float64)
        if number < 2 or np.count_nonzero(counts) > 1:
            return counts


def _moments(features: NDArray[np.floating], counts: Array) -> Moments:
    indices = np.repeat(np.arange(len(features)), counts.astype(np.int64))
    total = Moments.of(features[indices[:_BLOCK]])
    for start in range(_BLOCK, len(indices), _BLOCK):
        total = total.merge(Moments.of(features[indices[start : start + _BLOCK]]))
    return total


def _trace(counts: Array, squares: Array, mean: Array) -> float:
    """Of the covariance of pictures drawn `counts` times, from the squares of their features and their mean."""
    number = counts.sum()
    return float((counts @ squares - number * mean @ mean) / (number - 1))


def _root_trace(square: Array) -> float:
    return float(np.sqrt(np.linalg.eigvalsh(square).clip(min=0.0)).sum())


def _some(features: NDArray[np.floating], most: int, random: np.random.Generator) -> Array:
    if len(features) > most:
        features = features[random.choice(len(features), most, replace=False)]
    return features.astype(np.float64)


def _different_pairs(kernel: Array, counts: Array) -> float:
    """Mean of a kernel without its diagonal over pairs of different pictures."""
    return float(counts @ kernel @ counts / (counts.sum() ** 2 - counts @ counts))
