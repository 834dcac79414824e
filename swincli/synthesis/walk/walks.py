"""Walks through a generator's latent space, and the frames along them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.model.pixels import to_pictures
from swincli.synthesis.figures.grids import tile
from swincli.synthesis.figures.mixing import mix_codes
from swincli.synthesis.latents.codes import codes_of_z
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.walk.key_frames import KeyFrames
from swincli.synthesis.walk.paths import Path, arcs, line, locate, spline

Walk = Callable[[Tensor], Tensor]
"""From times, float64 `[B]` on the CPU, to w+ `[B, L, latent_dim]` on the model's device."""

CURVES = {"linear": line, "spline": spline}


@dataclass(frozen=True, eq=False)
class Mixed:
    """Layers that stay as they are in other codes all along a walk, and these codes, w+ `[1, L, latent_dim]`."""

    layers: list[int]
    codes: Tensor


def make_walk(
    model: Model, keys: KeyFrames, truncation: Truncation, *, curve: str, closed: bool, mixed: Sequence[Mixed] = ()
) -> Walk:
    """The walk through key frames, at least two.

    Args:
        model: The model.
        keys: In z, between which it goes by arcs, or in w, between which it goes as `curve` says.
        truncation: Of w, where the walk goes in z; key frames in w are truncated already.
        curve: A key of `CURVES`, for w.
        closed: Whether it leads back to the first.
        mixed: Layers that do not take part.
    """
    path = (
        CURVES[curve](keys.codes, closed=closed) if keys.space == "w" else _through_z(model, keys, truncation, closed)
    )

    @torch.inference_mode()
    def at(times: Tensor) -> Tensor:
        w_plus = path(times).to(model.device)
        for one in mixed:
            w_plus = mix_codes(w_plus, one.codes.expand_as(w_plus), one.layers)
        return w_plus

    return at


def _through_z(model: Model, keys: KeyFrames, truncation: Truncation, closed: bool) -> Path:
    """Between key frames of two classes, the w of either class at that z, mixed along a line."""
    path, labels = arcs(keys.codes, closed=closed), keys.labels
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
    """Images of walks side by side, in the network's range: float `[B * W, 3, size, size]`, time by time.

    Args:
        model: The model.
        walks: W of them.
        times: Float64 `[N]`.
        batch: Images that the network makes at once; makes no difference beyond rounding.
    """
    step = max(1, batch // len(walks))
    for start in range(0, len(times), step):
        with torch.inference_mode():
            w_plus = torch.stack([walk(times[start : start + step]) for walk in walks], dim=1).flatten(0, 1)
            images = torch.cat([model.generator.synthesise(codes) for codes in w_plus.split(batch)])
        yield images


def frames_of(model: Model, images: Tensor, grid: tuple[int, int], enlarge: int = 1) -> Iterator[Tensor]:
    """The frames of images as `images_along` gives them, as many side by side as a grid of columns by rows has cells.

    Each is uint8 `[rows * size * enlarge, columns * size * enlarge, 3]` on the CPU, with every pixel repeated.
    """
    section = model.recipe.model
    for pictures in to_pictures(images, section.pixel_mean, section.pixel_std).cpu().split(grid[0] * grid[1]):
        yield tile(pictures, grid[0]).repeat_interleave(enlarge, dim=0).repeat_interleave(enlarge, dim=1)
