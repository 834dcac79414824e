"""Walks through latent space: w+ at any time, and images and frames along them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.model.pixels import to_pictures
from swincli.synthesis.figures.grids import tile
from swincli.synthesis.figures.mixing import mix_codes
from swincli.synthesis.latents.codes import codes_of_z
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.level_reuse import synthesise_all
from swincli.synthesis.walk.key_frames import KeyFrames
from swincli.synthesis.walk.paths import LatentPath, linear_path, locate, slerp_path, spline_path

Walk = Callable[[Tensor], Tensor]
"""Maps times, float64 `[B]` on the CPU, to w+ `[B, L, latent_dim]` on the model's device."""

CURVES = {"linear": linear_path, "spline": spline_path}


@dataclass(frozen=True, eq=False)
class FixedLayers:
    """Layers that take constant codes along the whole walk, and these codes, w+ `[1, L, latent_dim]`."""

    layers: list[int]
    codes: Tensor


def make_walk(
    model: Model,
    keys: KeyFrames,
    truncation: Truncation,
    *,
    curve: str,
    closed: bool,
    fixed: Sequence[FixedLayers] = (),
) -> Walk:
    """Make a walk through at least two key frames.

    Args:
        model: A model from `load_model`.
        keys: Key frames in z (interpolated by slerp) or in w (interpolated by `curve`).
        truncation: Of w, for a walk in z; key frames in w are already truncated.
        curve: A key of `CURVES`, for w.
        closed: Whether the walk returns to the first key frame.
        fixed: Layers that do not move.
    """
    path = (
        CURVES[curve](keys.codes, closed=closed) if keys.space == "w" else _through_z(model, keys, truncation, closed)
    )

    @torch.inference_mode()
    def at(times: Tensor) -> Tensor:
        w_plus = path(times).to(model.device)
        for one in fixed:
            w_plus = mix_codes(w_plus, one.codes.expand_as(w_plus), one.layers)
        return w_plus

    return at


def _through_z(model: Model, keys: KeyFrames, truncation: Truncation, closed: bool) -> LatentPath:
    """Slerp in z. Between key frames of two classes, w is interpolated linearly between both classes' w of that z."""
    path, labels = slerp_path(keys.codes, closed=closed), keys.labels
    segments = len(keys) if closed else len(keys) - 1

    def at(times: Tensor) -> Tensor:
        z = path(times).to(model.device)
        if labels is None:
            return codes_of_z(model, z, truncation)
        before, share = locate(times, segments)
        ends = (labels[index % len(labels)].to(model.device) for index in (before, before + 1))
        one, other = (codes_of_z(model, z, truncation, end) for end in ends)
        return torch.lerp(one, other, share.to(one.dtype).to(one.device)[:, None, None])

    return at


def images_along(model: Model, walks: Sequence[Walk], times: Tensor, batch: int) -> Iterator[Tensor]:
    """Images of walks side by side, in the network's pixel range: batches `[B * W, 3, size, size]`, time by time.

    Levels whose codes do not change are computed once: see `level_reuse`.

    Args:
        model: A model from `load_model`.
        walks: W walks.
        times: Float64 `[N]`.
        batch: Images per forward pass; images do not depend on it beyond rounding.
    """
    step = max(1, batch // len(walks))
    steps = (times[start : start + step] for start in range(0, len(times), step))
    images = synthesise_all(model.generator, (part for some in steps for part in _codes(walks, some).split(batch)))
    passes = -(-step * len(walks) // batch)  # of all steps but the last one, which may have fewer
    while some := list(islice(images, passes)):
        yield torch.cat(some)


@torch.inference_mode()
def _codes(walks: Sequence[Walk], times: Tensor) -> Tensor:
    """The w+ of all walks, `[B * W, L, latent_dim]`, time by time."""
    return torch.stack([walk(times) for walk in walks], dim=1).flatten(0, 1)


def frames_of(model: Model, images: Tensor, grid: tuple[int, int], enlarge: int = 1) -> Iterator[Tensor]:
    """Frames of the images of `images_along`: one grid (columns, rows) of the walks per time, each pixel repeated.

    Each is uint8 `[rows * size * enlarge, columns * size * enlarge, 3]` on the CPU.
    """
    section = model.recipe.model
    for pictures in to_pictures(images, section.pixel_mean, section.pixel_std).cpu().split(grid[0] * grid[1]):
        yield tile(pictures, grid[0]).repeat_interleave(enlarge, dim=0).repeat_interleave(enlarge, dim=1)
