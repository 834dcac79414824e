"""Directions in w along which images change in one way, found without training anything.

Principal components of w (GANSpace: Härkönen et al., 2020) and the singular vectors of the layers that read w (SeFa:
Shen and Zhou, 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.blocks.layers import EqualLinear
from swincli.model.blocks.style import LatentProjection
from swincli.model.files.model_file import Model
from swincli.model.generator import Block, Generator, Level
from swincli.synthesis.latents.w_clusters import many_w


@dataclass(frozen=True)
class Directions:
    """Directions in w, the strongest first.

    Attributes:
        vectors: Of length 1, `[latent_dim, latent_dim]`, one a row; the largest number of each is positive.
        units: How far in w a step of 1 goes, `[latent_dim]`: for principal components the standard deviation of w along
            each; for SeFa, along whose directions w may hardly vary, that along the first component for all of them.
        shares: What each has of the whole, `[latent_dim]`: of w's variance, or of the squared weights.
    """

    vectors: Tensor
    units: Tensor
    shares: Tensor


def principal_directions(model: Model, layers: Sequence[int]) -> Directions:  # noqa: ARG001
    """Principal components of 10,000 w (Härkönen et al., 2020, section 2.1); the same for all layers."""
    variances, vectors = _eigenvectors(torch.cov(many_w(model).T))
    return Directions(vectors.float(), variances.sqrt().float(), (variances / variances.sum()).float())


def style_directions(model: Model, layers: Sequence[int]) -> Directions:
    """Eigenvectors of A^T A, A being the weights of all layers that take w at some codes, each row of length 1 (Shen
    and Zhou, 2021, section 3.2 and their code).

    Raises:
        UsageError: no layer of the network takes w there.
    """
    weights = [weight for layer in layers for weight in style_weights(model.generator, layer)]
    if not weights:
        hint = "A model without style injection takes w at layer 0 only." if model.generator.start else None
        raise UsageError("--sweep sefa: no layer of the network takes w there", hint)
    rows = torch.cat([weight.double().cpu() for weight in weights])
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    strengths, vectors = _eigenvectors(rows.T @ rows)
    unit = principal_directions(model, layers).units[0]
    return Directions(vectors.float(), unit.expand(len(vectors)), (strengths / strengths.sum()).float())


METHODS: dict[str, Callable[[Model, Sequence[int]], Directions]] = {
    "pca": principal_directions,
    "sefa": style_directions,
}
"""How directions are found."""


def style_weights(generator: Generator, layer: int) -> list[Tensor]:
    """Weights `[outputs, latent_dim]` of the layers that read one code of w+, whatever the style injection."""
    level = generator.levels[layer // 2]
    assert isinstance(level, Level)
    block = level.blocks[layer % 2]
    assert isinstance(block, Block)
    found = [part.weight.detach() for part in block.modules() if isinstance(part, EqualLinear)]  # no others read w
    if layer == 0 and isinstance(generator.start, LatentProjection):
        found.append(generator.start.weight.detach().flatten(end_dim=-2))
    return found


def _eigenvectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of a symmetric matrix, falling and not negative, and their eigenvectors as rows of a fixed sign."""
    values, vectors = torch.linalg.eigh(matrix)
    rows = vectors.T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return values.flip(0).clamp_min(0), rows * largest.sign()
