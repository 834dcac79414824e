"""Attribute probes: linear classifiers on features of a frozen backbone, which say what a picture shows.

A probe is fitted on pictures with known labels, such as real images, and judges others, such as generated ones. Classes
(and flags, which are two classes) get a logistic regression, numbers a ridge regression; both from scikit-learn, the
extra `directions`. Its quality is measured on pictures that the fit has not seen.

    features = probe_features(batches, device)            # batches of uint8 [B, H, W, 3]
    probe = fit_classes(features, ["hat", "none", ...])   # or fit_numbers(features, [0.3, 1.5, ...])
    probe.quality.accuracy, probe.predict(others), probe.scores(others), probe.margin(others, "hat")
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from swincli.errors import DataError
from swincli.model.discriminators.frozen_features import BACKBONES
from swincli.ops.precision import exact_float32
from swincli.system.packages import missing_package

BACKBONE = "efficientnet"
SIDE = 128
"""Smallest side of the backbone's input. Objects of 32 px images are then as large as the backbone is used to."""
LARGEST_SIDE = 224
HELD_OUT = 0.3  # of the pictures
FEWEST = 4  # pictures of a class; rarer classes are left out
STRENGTH = 0.01  # C of the logistic regression: features outnumber the pictures, so the penalty is strong
PENALTY = 1000.0  # of the ridge regression
_CELLS = (4, 4, 2, 1)  # cells per side over which the maps at strides 4, 8, 16 and 32 are averaged

Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ProbeQuality:
    """Quality on held-out pictures.

    Attributes:
        fitted: Number of pictures of the fit.
        held_out: Indices of the held-out pictures among those given, int64 `[M]`.
        accuracy: Share of held-out pictures that are classified rightly; R^2 for numbers.
        balanced_accuracy: Mean over the classes of the share that is right; R^2 for numbers.
        chance: Share of the most frequent class; 0 for numbers.
    """

    fitted: int
    held_out: NDArray[np.int64]
    accuracy: float
    balanced_accuracy: float
    chance: float


@dataclass(frozen=True, eq=False)
class AttributeProbe:
    """A fitted probe.

    Attributes:
        classes: Names of the K classes, sorted; empty for a number.
        weights: float64 `[K, D]`; `[1, D]` for a number.
        bias: float64 `[K]` or `[1]`.
        quality: Quality on held-out pictures.
        left_out: Classes with fewer than `FEWEST` pictures, which the probe does not know.
    """

    classes: tuple[str, ...]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    quality: ProbeQuality
    left_out: tuple[str, ...] = ()

    def scores(self, features: Features) -> NDArray[np.float64]:
        """Logits of the classes, `[N, K]`; for a number its values, `[N, 1]`."""
        out: NDArray[np.float64] = features.astype(np.float64) @ self.weights.T + self.bias
        return out

    def probabilities(self, features: Features) -> NDArray[np.float64]:
        """Probabilities of the classes, `[N, K]`; of classes only."""
        logits = self.scores(features)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        out: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return out

    def margin(self, features: Features, value: str) -> NDArray[np.float64]:
        """The log odds of one class against all others, `[N]`. It is above 0 where the class is more likely than not.

        Raises:
            KeyError: the probe has no such class.
        """
        if value not in self.classes:
            raise KeyError(value)
        chosen = self.classes.index(value)
        logits = self.scores(features)
        others = np.delete(logits, chosen, axis=1)
        highest = others.max(axis=1)
        rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
        out: NDArray[np.float64] = logits[:, chosen] - rest
        return out

    def predict(self, features: Features) -> list[str] | list[float]:
        """The most likely class, or the number, of every picture."""
        scores = self.scores(features)
        if not self.classes:
            return [float(value) for value in scores[:, 0]]
        return [self.classes[index] for index in scores.argmax(axis=1)]


def probe_features(batches: Iterable[Tensor], device: torch.device) -> Features:
    """Features of pictures: means of the backbone's maps at four scales over a few cells, so that places count.

    Early maps know colours and edges, late ones objects.

    Args:
        batches: uint8 `[B, H, W, 3]`; the sizes of batches and of pictures may differ from batch to batch.
        device: Device of the backbone.

    Returns:
        float32 `[N, D]`.

    Raises:
        ResourceError: the backbone's weights are not installed.
    """
    backbone = BACKBONES[BACKBONE]
    backbone.weights.require()
    network, parts = backbone.build(device), []
    resizing = torch.device("cpu") if device.type == "mps" else device  # MPS may lack antialiasing
    with torch.inference_mode(), exact_float32(device):
        for batch in batches:
            pixels = batch.to(resizing).permute(0, 3, 1, 2).float() / 127.5 - 1
            side = min(LARGEST_SIDE, max(SIDE, *pixels.shape[2:]))
            resized = F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)
            maps = backbone.maps(network, resized.to(device))
            cells = [F.adaptive_avg_pool2d(x, n).flatten(1) for x, n in zip(maps, _CELLS, strict=True)]
            parts.append(torch.cat(cells, dim=1).cpu().numpy())
    return np.concatenate(parts).astype(np.float32)


def fit_classes(features: Features, labels: Sequence[str | None], seed: int = 0) -> AttributeProbe:
    """Fit a logistic regression with balanced class weights on 70 % of the pictures, and measure it on the rest.

    Args:
        features: float32 `[N, D]`.
        labels: One per picture; None for unknown ones, which are left out.
        seed: Of the split. Every class is split alike.

    Raises:
        DataError: fewer than two classes have `FEWEST` pictures.
        ResourceError: scikit-learn is not installed.
    """
    counts = Counter(label for label in labels if label is not None)
    classes = tuple(sorted(name for name, count in counts.items() if count >= FEWEST))
    if len(classes) < 2:
        found = ", ".join(f"{name} ({count})" for name, count in counts.most_common(5)) or "none"
        hint = f"A probe needs two classes with at least {FEWEST} pictures each."
        raise DataError(f"labels: too few to tell classes apart: {found}", hint)
    known = np.array([index for index, label in enumerate(labels) if label in classes])
    target = np.array([classes.index(str(labels[index])) for index in known])
    fitted, held_out = split_by_class(target, seed)
    weights, bias = _logistic(features[known[fitted]], target[fitted], len(classes))
    right = (features[known[held_out]].astype(np.float64) @ weights.T + bias).argmax(axis=1) == target[held_out]
    kinds = [right[target[held_out] == label] for label in range(len(classes))]
    quality = ProbeQuality(
        len(fitted),
        known[held_out],
        float(right.mean()),
        float(np.mean([kind.mean() for kind in kinds])),
        max(len(kind) for kind in kinds) / len(right),
    )
    return AttributeProbe(classes, weights, bias, quality, tuple(sorted(set(counts) - set(classes))))


def fit_numbers(features: Features, values: Sequence[float | None], seed: int = 0) -> AttributeProbe:
    """Fit a ridge regression on 70 % of the pictures, and measure it on the rest. Arguments as for `fit_classes`.

    Raises:
        DataError: fewer than 8 pictures have a value, or all values are equal.
        ResourceError: scikit-learn is not installed.
    """
    known = np.array([index for index, value in enumerate(values) if value is not None], dtype=np.int64)
    target = np.array([values[index] for index in known], dtype=np.float64)
    if len(known) < 2 * FEWEST or np.ptp(target) == 0:
        raise DataError(
            f"labels: {len(known)} numbers, {len(set(target.tolist()))} of them different: too few",
            f"A probe needs at least {2 * FEWEST} pictures with numbers that differ.",
        )
    fitted, held_out = split_by_class(np.zeros(len(known), int), seed)
    weights, bias = _ridge(features[known[fitted]], target[fitted])
    guess = features[known[held_out]].astype(np.float64) @ weights[0] + bias[0]
    spread = float(((target[held_out] - target[held_out].mean()) ** 2).sum())
    fit = 1 - float(((target[held_out] - guess) ** 2).sum()) / spread if spread else 0.0
    return AttributeProbe((), weights, bias, ProbeQuality(len(fitted), known[held_out], fit, fit, 0.0))


def require_sklearn() -> None:
    """Check that scikit-learn is there.

    Raises:
        ResourceError: it is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise missing_package("probes and boundaries", "scikit-learn", "directions") from None


def logistic_boundary(points: NDArray[Any], positive: NDArray[np.bool_], strength: float) -> NDArray[np.float64]:
    """A logistic boundary between two kinds of points `[N, D]` with balanced weights: its weights and bias, `[D + 1]`.

    All columns are divided by one number, so that the penalty keeps the boundary's normal out of columns that hardly
    vary; `strength` is scikit-learn's C there.

    Raises:
        ResourceError: scikit-learn is not installed.
    """
    weights, bias = _logistic(points, positive.astype(np.int64), 2, strength, by_column=False)
    return np.append(weights[1] - weights[0], bias[1] - bias[0])


def split_by_class(target: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the fit and of the held-out pictures; every class is split 70 to 30, with at least one held out."""
    random = np.random.default_rng((seed, 20))
    fitted: list[NDArray[np.int64]] = []
    held_out: list[NDArray[np.int64]] = []
    for label in np.unique(target):
        order = random.permutation(np.flatnonzero(target == label))
        count = max(1, round(HELD_OUT * len(order)))
        held_out.append(order[:count])
        fitted.append(order[count:])
    return np.sort(np.concatenate(fitted)), np.sort(np.concatenate(held_out))


def _logistic(
    points: NDArray[Any],
    target: NDArray[np.int64],
    classes: int,
    strength: float = STRENGTH,
    *,
    by_column: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights `[K, D]` and biases `[K]` of a logistic regression on standardised points."""
    require_sklearn()
    from sklearn.linear_model import LogisticRegression

    mean, deviation = _scale(points)
    if not by_column:
        deviation = np.full_like(deviation, np.sqrt((deviation**2).mean()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence: the last digits do not matter
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=500)
        model.fit((points - mean) / deviation, target)
    weights, bias = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
    if classes == 2:
        weights, bias = np.concatenate([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    weights = weights / deviation
    return weights, bias - weights @ mean


def _ridge(points: NDArray[Any], target: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights `[1, D]` and bias `[1]` of a ridge regression on standardised points and values."""
    require_sklearn()
    from sklearn.linear_model import Ridge

    mean, deviation = _scale(points)
    centre, spread = target.mean(), target.std()
    model = Ridge(alpha=PENALTY).fit((points - mean) / deviation, (target - centre) / spread)
    weights = (model.coef_.astype(np.float64) * spread / deviation)[None]
    return weights, np.array([model.intercept_ * spread + centre]) - weights @ mean


def _scale(points: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of every column; 1 where a column is constant."""
    deviation = points.std(axis=0, dtype=np.float64)
    return points.mean(axis=0, dtype=np.float64), np.where(deviation > 1e-8, deviation, 1.0)
