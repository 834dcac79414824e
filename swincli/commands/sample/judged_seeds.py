"""`judged_seeds`: the seeds whose images show something, or do not, in the eyes of the probe of a direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.errors import DataError, UsageError
from swincli.metrics.directions.generated import generated_features
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.named_directions import Judge, open_direction

Wanted = dict[str, tuple[str, bool]]
"""Option -> name of a direction, and whether images should show it."""


def judged_seeds(model: Model, seeds: list[int], wanted: Wanted, console: Console) -> list[int]:
    """The seeds whose images the probes of directions accept.

    Args:
        model: Draws the images, without truncation.
        seeds: Neighbouring seeds, in order.
        wanted: What the images should show.
        console: Hears how many do.

    Raises:
        UsageError: a direction has no probe that says yes or no.
        DataError: no image is left.
        SwincliError: a direction cannot be opened, or the probe's network is not installed.
    """
    judges = {option: _judge(model, option, name) for option, (name, _) in wanted.items()}
    features = generated_features(model, range(seeds[0], seeds[-1] + 1), console).features
    kept: NDArray[np.bool_] = np.ones(len(seeds), bool)
    for option, (name, shown) in wanted.items():
        judge = judges[option]
        scores = features.astype(np.float64) @ judge.weights.double().numpy() + judge.bias
        is_shown = scores > 0
        console.say(f"{option} {name}: {is_shown.sum():,} of {len(seeds):,} images show it")
        kept &= is_shown == shown
    if not kept.any():
        said = " ".join(f"{option} {name}" for option, (name, _) in wanted.items())
        raise DataError(f"{said}: none of {len(seeds):,} images is left", "Draw more, with --count.")
    return [seed for seed, keep in zip(seeds, kept, strict=True) if keep]


def _judge(model: Model, option: str, name: str) -> Judge:
    direction = open_direction(model, name)
    if direction.judge is None or "judge_accuracy" not in direction.quality:
        raise UsageError(
            f"{option} {name}: no probe of pictures says whether an image shows it",
            "Find it by --positive and --negative, or by --label VALUE and --data.",
        )
    return direction.judge
