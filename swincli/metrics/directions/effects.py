"""What a direction does to images: to scores, to places of the picture, and to the distance from real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from swincli.metrics.networks.attribute_probe import Features, probe_features
from swincli.model.files.model_file import Model
from swincli.synthesis.figures.palettes import draw_moved
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.edits import Editor
from swincli.synthesis.latents.named_directions import Judge

AREA = 0.25  # of the picture, in which locality looks for the change


@dataclass(frozen=True)
class Region:
    """A rectangle of the picture, in pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, eq=False)
class Effects:
    """Numbers about a direction.

    Attributes:
        offsets: The steps, in standard deviations.
        score_changes: Change of each score by name at +1, in standard deviations of that score.
        locality: Share of the pixels' change in the region; see `locality_of`.
        distances: Distance from the nearest real image at each step, over that at 0; None without real images.
        safe_range: The largest step at which no distance has doubled; None without real images.
    """

    offsets: list[float]
    score_changes: dict[str, float]
    locality: float
    distances: list[float] | None
    safe_range: float | None


def measure_effects(
    model: Model,
    editor: Editor,
    seeds: Sequence[int],
    offsets: Sequence[float],
    judges: Mapping[str, Judge],
    region: Region | None = None,
    reals: Features | None = None,
) -> Effects:
    """Move the images of seeds along an editor's one direction, and measure what changes.

    Args:
        model: The model, which gives the codes.
        editor: Of one direction.
        seeds: N seeds.
        offsets: Steps, with 0 and 1 among them.
        judges: Scores by name.
        region: Where the change should be; None to look for the best quarter.
        reals: Features of real images, `[M, D]`.

    Raises:
        ResourceError: there are scores or reals, and the backbone's weights are not installed.
    """
    steps = torch.tensor(offsets, dtype=torch.float64)[:, None]
    pictures = torch.stack(draw_moved(editor, codes_of_seeds(model, seeds), steps))
    shown = pictures.unflatten(0, (len(seeds), len(offsets)))
    zero, one = offsets.index(0.0), offsets.index(1.0)
    change = (shown[:, one].float() - shown[:, zero].float()).square().sum(dim=-1)
    locality = locality_of(change.double().numpy(), region)
    if not judges and reals is None:
        return Effects(list(offsets), {}, locality, None, None)
    features = probe_features(pictures.split(64), model.device).reshape(len(seeds), len(offsets), -1)
    changes = {name: _score_change(judge, features[:, zero], features[:, one]) for name, judge in judges.items()}
    if reals is None:
        return Effects(list(offsets), changes, locality, None, None)
    distances = relative_distances(features, reals, zero)
    return Effects(list(offsets), changes, locality, distances, safe_range(offsets, distances))


def locality_of(change: NDArray[np.float64], region: Region | None = None) -> float:
    """Share of the pixels' squared change that lies in a region; 1 is local.

    Without a region it is the quarter of the pixels that change most over all images: a change that is everywhere
    gives 0.25, one that is always at one place 1.

    Args:
        change: Squared change of each pixel, `[N, H, W]`.
        region: The region.
    """
    total = change.sum()
    if not total:
        return 0.0
    if region is not None:
        return float(change[:, region.top : region.bottom, region.left : region.right].sum() / total)
    mean = np.sort(change.mean(axis=0).ravel())[::-1]
    return float(mean[: max(1, round(AREA * len(mean)))].sum() / mean.sum())


def relative_distances(features: Features, reals: Features, zero: int) -> list[float]:
    """Mean distance from the nearest real image at each step, over that of step `zero`.

    Distances are of features, each divided by its deviation over the reals.

    Args:
        features: `[N, S, D]` of S steps.
        reals: `[M, D]`.
        zero: The step without a move.
    """
    spread = reals.std(axis=0)
    scale = np.where(spread > 1e-6, spread, np.inf).astype(np.float32)
    points, targets = torch.from_numpy(features / scale), torch.from_numpy(reals / scale)
    nearest = torch.stack(
        [torch.cdist(points[:, step], targets).min(dim=1).values.mean() for step in range(points.shape[1])]
    )
    out: list[float] = (nearest / nearest[zero]).tolist()
    return out


def safe_range(offsets: Sequence[float], distances: Sequence[float]) -> float:
    """The largest step up to which, to both sides, the distance is less than twice that at 0."""
    far = [abs(offset) for offset, distance in zip(offsets, distances, strict=True) if distance >= 2]
    limit = min(far, default=np.inf)
    return max(abs(offset) for offset in offsets if abs(offset) < limit)


def _score_change(judge: Judge, before: Features, after: Features) -> float:
    weights = judge.weights.double().numpy()
    return float(((after - before).astype(np.float64) @ weights).mean() / judge.spread) if judge.spread else 0.0
