"""Editing directions in w that need no training: PCA and SeFa.

PCA: principal components of w (GANSpace: Härkönen et al., 2020). SeFa: eigenvectors of the layers that read w (Shen and
Zhou, 2021).
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
from swincli.synthesis.latents.w_clusters import sample_w


@dataclass(frozen=True)
class Directions:
    """Directions in w, strongest first.

    Attributes:
        vectors: Unit vectors, `[latent_dim, latent_dim]`, one per row; the largest component of each is positive.
        units: Length in w of a step of 1, `[latent_dim]`. For PCA: the standard deviation of w along each direction.
            For SeFa: that of the first principal component, for all directions, as w may hardly vary along some.
        shares: Share of each direction, `[latent_dim]`: of w's variance (PCA) or of the squared weights (SeFa).
    """

    vectors: Tensor
    units: Tensor
    shares: Tensor


def pca_directions(model: Model, layers: Sequence[int]) -> Directions:  # noqa: ARG001
    """Principal components of 10,000 w (Härkönen et al., 2020, section 2.1); `layers` makes no difference."""
    variances, vectors = _eigenvectors(torch.cov(sample_w(model).T))
    return Directions(vectors.float(), variances.sqrt().float(), (variances / variances.sum()).float())


def sefa_directions(model: Model, layers: Sequence[int]) -> Directions:
    """Eigenvectors of A^T A, where A stacks the weights of all layers that read the given codes of w+.

    Each row of A has length 1 (Shen and Zhou, 2021, section 3.2 and their code).

    Raises:
        UsageError: no layer of the network reads w at these codes.
    """
    weights = [weight for layer in layers for weight in style_weights(model.generator, layer)]
    if not weights:
        hint = "A model without style injection reads w at layer 0 only." if model.generator.start else None
        raise UsageError("--sweep sefa: no layer of the network reads w there", hint)
    rows = torch.cat([weight.cpu().double() for weight in weights])
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    strengths, vectors = _eigenvectors(rows.T @ rows)
    unit = pca_directions(model, layers).units[0]
    return Directions(vectors.float(), unit.expand(len(vectors)), (strengths / strengths.sum()).float())


METHODS: dict[str, Callable[[Model, Sequence[int]], Directions]] = {
    "pca": pca_directions,
    "sefa": sefa_directions,
}
"""Methods by name: (model, codes of w+) -> directions."""


def style_weights(generator: Generator, layer: int) -> list[Tensor]:
    """Weights `[outputs, latent_dim]` of all layers that read one code of w+, for every kind of style injection."""
    level = generator.levels[layer // 2]
    assert isinstance(level, Level)
    block = level.blocks[layer % 2]
    assert isinstance(block, Block)
    found = [part.weight.detach() for part in block.modules() if isinstance(part, EqualLinear)]  # only these read w
    if layer == 0 and isinstance(generator.start, LatentProjection):
        found.append(generator.start.weight.detach().flatten(end_dim=-2))
    return found


def _eigenvectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of a symmetric matrix, descending and clamped at 0, and eigenvectors as rows with a fixed sign."""
    values, vectors = torch.linalg.eigh(matrix)
    rows = vectors.T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return values.flip(0).clamp_min(0), rows * largest.sign()
