"""How a class reaches the networks: embedded for G's mapping network, and projected on by D.

The mapping network's input is StyleGAN2-ADA's (Karras et al., 2020); D's projection is Miyato and Koyama's (2018), in
the form that StyleGAN2-ADA gives it.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.layers import EqualLinear, PixelNorm


class LabelEmbedding(nn.Module):
    """A learned vector of root mean square 1 for every class.

    Args:
        classes: How many there are.
        dim: Length of the vectors.
    """

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.classes = classes
        self.linear = EqualLinear(classes, dim)
        self.norm = PixelNorm()

    def forward(self, labels: Tensor) -> Tensor:
        """int64 `[B]` -> `[B, dim]`."""
        one_hot = F.one_hot(labels, self.classes).to(self.linear.weight.dtype)
        vectors: Tensor = self.norm(self.linear(one_hot))
        return vectors


def make_embedding(classes: int, dim: int) -> LabelEmbedding | None:
    """The embedding of a network with so many classes; None for an unconditional one."""
    return LabelEmbedding(classes, dim) if classes else None


def embed(embedding: LabelEmbedding | None, labels: Tensor | None) -> Tensor | None:
    """Vectors of labels, `[B, dim]`; None where the network is unconditional.

    Raises:
        ValueError: labels for an unconditional network, or none for a conditional one.
    """
    if (embedding is None) != (labels is None):
        given = "no labels for a conditional" if labels is None else "labels for an unconditional"
        raise ValueError(f"{given} network")
    return None if embedding is None or labels is None else embedding(labels)


def project(features: Tensor, vectors: Tensor | None) -> Tensor:
    """Logits of features `[B, C, ...]` under the vectors of their labels, `[B, 1, ...]`: `sum_c f_c v_c / sqrt(C)`.

    Without vectors the features are the logits.
    """
    if vectors is None:
        return features
    aligned = vectors.view(*vectors.shape, *[1] * (features.ndim - 2))
    return (features * aligned).sum(dim=1, keepdim=True) / math.sqrt(features.shape[1])
