"""Sweeps: what happens to an image as its codes move along directions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.synthesis.figures.labelled_grid import Words, label_pictures
from swincli.synthesis.latents.directions import METHODS, Directions
from swincli.synthesis.latents.layer_ranges import format_code_layers, parse_code_layers
from swincli.synthesis.sampling import default_batch, render

NAMES = {"pca": "PCA", "sefa": "SeFa"}
STEPS = {"pca": "steps in standard deviations of w", "sefa": "steps in standard deviations of w along PCA 0"}


@dataclass(frozen=True)
class Sweep:
    """What is swept.

    Attributes:
        method: One of `directions.METHODS`.
        numbers: Directions, from 0.
        layers: Codes of w+ that move.
        steps: Images a direction.
        reach: How far to each side, in the directions' units.
    """

    method: str
    numbers: list[int]
    layers: list[int]
    steps: int
    reach: float

    @property
    def offsets(self) -> list[float]:
        """How far each image of a row is off."""
        return torch.linspace(-self.reach, self.reach, self.steps, dtype=torch.float64).tolist()

    def __str__(self) -> str:
        numbers, layers = format_code_layers(self.numbers), format_code_layers(self.layers)
        return f"{self.method}:{numbers}@{layers} steps={self.steps} range={self.reach:g}"


def parse_sweep(text: str, num_ws: int, latent_dim: int) -> tuple[str, list[int], list[int]]:
    """Read "pca:0-3@middle": the method, the directions' numbers, and the codes that move, all of them without @.

    Raises:
        ValueError: it says something else, or the model has no such direction or code; the message stands alone.
    """
    spoken, at, layers = text.partition("@")
    match = re.fullmatch(r"\s*([a-z]+)\s*:\s*([0-9]{1,6}(?:[-,][0-9]{1,6})*)\s*", spoken.lower())
    if match is None or match[1] not in METHODS:
        raise ValueError("a method and directions are wanted; write pca:0-3 or sefa:0,2,5")
    numbers: list[int] = []
    for part in match[2].split(","):
        ends = [int(end) for end in part.split("-")]
        if len(ends) > 2 or ends[-1] < ends[0]:
            raise ValueError(f"{part} is not a range of directions; write 0-3")
        if ends[-1] >= latent_dim:
            raise ValueError(f"this model has directions 0-{latent_dim - 1}, and no {ends[-1]}")
        numbers.extend(range(ends[0], ends[-1] + 1))
    return match[1], sorted(set(numbers)), parse_code_layers(layers if at else "all", num_ws)


def sweep_codes(code: Tensor, directions: Directions, sweep: Sweep) -> Tensor:
    """One code w+ `[L, latent_dim]`, moved: `[directions * steps, L, latent_dim]`, direction by direction."""
    steps = directions.vectors[sweep.numbers] * directions.units[sweep.numbers, None]
    offsets = torch.tensor(sweep.offsets, dtype=code.dtype)
    moves = (steps[:, None] * offsets[:, None]).flatten(end_dim=1).to(code.device)
    moved = code.expand(len(moves), -1, -1).clone()
    moved[:, sweep.layers] += moves[:, None]
    return moved


@torch.inference_mode()
def sweep_page(
    model: Model, code: Tensor, directions: Directions, sweep: Sweep, caption: str, batch: int | None = None
) -> Tensor:
    """The page of one code w+ `[L, latent_dim]`: a row for every direction, uint8 `[H, W, 3]`."""
    codes = sweep_codes(code, directions, sweep)
    parts = codes.split(batch or default_batch(model.recipe.model.size))
    pictures = [picture for part in parts for picture in render(model, part)]
    name = NAMES[sweep.method]
    words = Words(
        title=f"{caption}: {name}, codes {format_code_layers(sweep.layers)}; {STEPS[sweep.method]}",
        rows=[f"{name} {number} ({directions.shares[number]:.1%})" for number in sweep.numbers],
        columns=[_signed(offset) for offset in sweep.offsets],
    )
    return label_pictures(pictures, sweep.steps, words)


def _signed(offset: float) -> str:
    return "0" if abs(offset) < 1e-9 else f"{offset:+.3g}"
