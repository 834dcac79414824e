"""Generated images for finding directions: their w and the features of a frozen backbone, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Console
from swincli.errors import SwincliError
from swincli.metrics.networks.attribute_probe import BACKBONE, Features, probe_features
from swincli.model.discriminators.frozen_features import BACKBONES
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.codes import w_of_seeds
from swincli.synthesis.sampling import generate, sampling_batch
from swincli.system.array_files import read_arrays
from swincli.system.atomic_files import write_arrays
from swincli.system.cache import find_cached, write_cached


@dataclass(frozen=True, eq=False)
class Generated:
    """N generated images: w, float32 `[N, latent_dim]`, and features, float32 `[N, D]`."""

    w: NDArray[np.float32]
    features: Features


def w_of(model: Model, seeds: range | list[int]) -> NDArray[np.float32]:
    """The w of seeds, float32 `[N, latent_dim]`, without truncation. Classes are drawn as for `sample`."""
    parts = [w_of_seeds(model, seeds[start : start + 1000]).cpu().numpy() for start in range(0, len(seeds), 1000)]
    return np.concatenate(parts)


def generated_features(model: Model, seeds: range, console: Console) -> Generated:
    """Generate the images of seeds and compute their features, or take them from the cache.

    Raises:
        ResourceError: the backbone's weights are not installed.
    """
    weights = BACKBONES[BACKBONE].weights
    weights.require()
    name = Path("generated", f"{model_identity(model.path)}-{seeds.start}-{len(seeds)}-{weights.sha256[:8]}.npz")

    def compute() -> dict[str, NDArray[Any]]:
        batch = sampling_batch(model.recipe.model, model.device)
        with console.progress("Generating", len(seeds)) as advance:

            def images() -> Iterator[Tensor]:
                for part in generate(model, seeds, batch=batch):
                    yield part
                    advance(len(part))

            return {"w": w_of(model, seeds), "features": probe_features(images(), model.device)}

    kept = cached_arrays(name, {"w": len(seeds), "features": len(seeds)}, compute)
    return Generated(kept["w"], kept["features"])


def cached_arrays(
    name: Path, rows: Mapping[str, int], compute: Callable[[], dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Arrays from the cache if it has them with so many rows, else computed and kept there."""
    kept: dict[str, NDArray[Any]] = {}

    def is_right(path: Path) -> bool:
        kept.clear()
        kept.update(read_arrays(path))
        return {each: len(values) for each, values in kept.items()} == dict(rows)

    if find_cached(name, is_right) is None:
        kept = compute()
        with suppress(SwincliError):
            write_cached(name, lambda path: write_arrays(path, kept))
    return kept
