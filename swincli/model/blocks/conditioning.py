"""Class conditioning: label embedding for G's mapping network, and projection for D.

The mapping network's input is that of StyleGAN2-ADA (Karras et al., 2020). D's projection (Miyato and Koyama, 2018) is
computed as in StyleGAN2-ADA.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.layers import EqualLinear, PixelNorm

Through = Callable[[Any, Tensor, Tensor | None], Any]
"""A function of a network, its input and labels. Losses that look inside a network pass one to its forward, so that DDP
sees the forward."""


class LabelEmbedding(nn.Module):
    """A learned vector per class, with root mean square 1.

    Args:
        classes: Number of classes.
        dim: Length of a vector.
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
    """The label embedding of a network; None if it is unconditional (`classes` 0)."""
    return LabelEmbedding(classes, dim) if classes else None


def embed(embedding: LabelEmbedding | None, labels: Tensor | None) -> Tensor | None:
    """Vectors of labels, `[B, dim]`; None for an unconditional network.

    Raises:
        ValueError: labels for an unconditional network, or no labels for a conditional one.
    """
    if (embedding is None) != (labels is None):
        given = "no labels for a conditional" if labels is None else "labels for an unconditional"
        raise ValueError(f"{given} network")
    return None if embedding is None or labels is None else embedding(labels)


def project(features: Tensor, vectors: Tensor | None) -> Tensor:
    """Projection logits `[B, 1, ...]` of features `[B, C, ...]` and label vectors: `sum_c f_c v_c / sqrt(C)`.

    Without vectors, the features are the logits.
    """
    if vectors is None:
        return features
    aligned = vectors.view(*vectors.shape, *[1] * (features.ndim - 2))
    return (features * aligned).sum(dim=1, keepdim=True) / math.sqrt(features.shape[1])


def forward_with_labels(network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
    """`network(x, labels)`, or `network(x)` if there are no labels."""
    out: Tensor = network(x) if labels is None else network(x, labels)
    return out
