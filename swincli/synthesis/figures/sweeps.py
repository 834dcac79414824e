"""Sweeps: one image with its codes moved in steps along PCA or SeFa directions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.synthesis.figures.labelled_grid import GridLabels, draw_labelled_grid, signed
from swincli.synthesis.latents.directions import METHODS, Directions
from swincli.synthesis.latents.layer_ranges import CODES_OF_A_LEVEL, format_code_layers, parse_code_layers
from swincli.synthesis.sampling import render_all, reuse_batch, sampling_batch

NAMES = {"pca": "PCA", "sefa": "SeFa"}
STEP_UNITS = {"pca": "steps in standard deviations of w", "sefa": "steps in standard deviations of w along PCA 0"}


@dataclass(frozen=True)
class Sweep:
    """Settings of a sweep.

    Attributes:
        method: A key of `directions.METHODS`.
        numbers: Numbers of the directions, from 0.
        layers: Codes of w+ to move.
        steps: Images per direction.
        reach: Largest offset, to both sides, in the directions' units.
    """

    method: str
    numbers: list[int]
    layers: list[int]
    steps: int
    reach: float

    @property
    def offsets(self) -> list[float]:
        """Offset of each image of a row, from -reach to reach."""
        return torch.linspace(-self.reach, self.reach, self.steps, dtype=torch.float64).tolist()

    def __str__(self) -> str:
        numbers, layers = format_code_layers(self.numbers), format_code_layers(self.layers)
        return f"{self.method}:{numbers}@{layers} steps={self.steps} range={self.reach:g}"


def parse_sweep(text: str, num_ws: int, latent_dim: int) -> tuple[str, list[int], list[int]]:
    """Parse "pca:0-3@middle" into the method, the numbers of the directions and the codes to move (default: all).

    Raises:
        ValueError: the text cannot be parsed, or the model has no such direction or code; the message is complete.
    """
    selection, at, layers = text.partition("@")
    match = re.fullmatch(r"\s*([a-z]+)\s*:\s*([0-9]{1,6}(?:[-,][0-9]{1,6})*)\s*", selection.lower())
    if match is None or match[1] not in METHODS:
        raise ValueError("a method and directions are needed, such as pca:0-3 or sefa:0,2,5")
    numbers: list[int] = []
    for part in match[2].split(","):
        ends = [int(end) for end in part.split("-")]
        if len(ends) > 2 or ends[-1] < ends[0]:
            raise ValueError(f"{part} is not a range of directions, such as 0-3")
        if ends[-1] >= latent_dim:
            raise ValueError(f"this model has directions 0-{latent_dim - 1}, not {ends[-1]}")
        numbers.extend(range(ends[0], ends[-1] + 1))
    return match[1], sorted(set(numbers)), parse_code_layers(layers if at else "all", num_ws)


def sweep_codes(code: Tensor, directions: Directions, sweep: Sweep) -> Tensor:
    """Move one w+ `[L, latent_dim]` along directions: `[directions * steps, L, latent_dim]`, direction by direction."""
    steps = directions.vectors[sweep.numbers] * directions.units[sweep.numbers, None]
    offsets = torch.tensor(sweep.offsets, dtype=code.dtype)
    moves = (steps[:, None] * offsets[:, None]).flatten(end_dim=1).to(code.device)
    moved = code.expand(len(moves), -1, -1).clone()
    moved[:, sweep.layers] += moves[:, None]
    return moved


@torch.inference_mode()
def sweep_page(
    model: Model,
    code: Tensor,
    directions: Directions,
    sweep: Sweep,
    caption: str,
    batch: int | None = None,
    preview: int | None = None,
) -> Tensor:
    """Draw the sweep of one w+ `[L, latent_dim]`, one row per direction: uint8 `[H, W, 3]`.

    Levels below the codes that move are computed once. `preview` as in `render_all`.
    """
    codes, sharing = sweep_codes(code, directions, sweep), min(sweep.layers) >= CODES_OF_A_LEVEL
    usual = (reuse_batch if sharing else sampling_batch)(model.recipe.model, model.device)
    drawn = render_all(model, codes.split(batch or usual), late=False if sharing else None, preview=preview)
    pictures = [picture for images in drawn for picture in images]
    name = NAMES[sweep.method]
    labels = GridLabels(
        title=f"{caption}: {name}, codes {format_code_layers(sweep.layers)}; {STEP_UNITS[sweep.method]}",
        rows=[f"{name} {number} ({directions.shares[number]:.1%})" for number in sweep.numbers],
        columns=[signed(offset) for offset in sweep.offsets],
    )
    return draw_labelled_grid(pictures, sweep.steps, labels)
