"""Conditioning on labels: their embedding for G's mapping network, and projection for D.

Labels are int64 `[B]`, one class an image, or float32 `[B, columns]`, attributes, as `recipe.attributes` says. The
mapping network's input is that of StyleGAN2-ADA (Karras et al., 2020). D's projection (Miyato and Koyama, 2018) is
computed as in StyleGAN2-ADA.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.attributes import AttributeEmbedding
from swincli.model.blocks.layers import EqualLinear, PixelNorm
from swincli.recipe.schema import ModelSection

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


Embedding = LabelEmbedding | AttributeEmbedding


def make_embedding(config: ModelSection, dim: int, network: Literal["g", "d"]) -> Embedding | None:
    """The label embedding of a network; None if it is unconditional."""
    if config.attributes:
        return AttributeEmbedding(config.attribute_kinds, dim, with_unknown=network == "g")
    return LabelEmbedding(config.classes, dim) if config.classes else None


def logit_outputs(config: ModelSection, width: int) -> int:
    """Outputs of D's last layer: the logit; or with labels `width` features, which are projected onto their vectors.

    With attributes, a logit that no label touches comes before the features: labels may be unknown.
    """
    return width + bool(config.attributes) if config.is_conditional else 1


def unknown_labels(config: ModelSection, count: int, device: torch.device | str) -> Tensor | None:
    """Labels for images of which nothing is known: NaN, or the first class; None for unconditional networks."""
    if config.attributes:
        columns = sum(kind.columns for kind in config.attribute_kinds.values())
        return torch.full((count, columns), math.nan, device=device)
    return torch.zeros(count, dtype=torch.int64, device=device) if config.classes else None


def embed(embedding: Embedding | None, labels: Tensor | None) -> Tensor | None:
    """Vectors of labels, `[B, dim]`; None for an unconditional network.

    Raises:
        ValueError: labels for an unconditional network, or no labels for a conditional one.
    """
    if (embedding is None) != (labels is None):
        given = "no labels for a conditional" if labels is None else "labels for an unconditional"
        raise ValueError(f"{given} network")
    return None if embedding is None or labels is None else embedding(labels)


def project(features: Tensor, vectors: Tensor | None) -> Tensor:
    """Projection logits `[B, 1, ...]` of features `[B, C, ...]` and label vectors `[B, C]`: `sum_c f_c v_c / sqrt(C)`.

    With K vectors for each image, `[B, K, C]`, they are `[B, K, ...]`, one for each.

    Without vectors, the features are the logits. A channel before those of the vectors is a logit without labels,
    which is added.
    """
    if vectors is None:
        return features
    width = vectors.shape[-1]
    alone, features = features[:, :-width], features[:, -width:]
    aligned = vectors.view(*vectors.shape, *[1] * (features.ndim - 2))
    if vectors.ndim == 3:
        logits = (features[:, None] * aligned).sum(dim=2) / math.sqrt(width)
    else:
        logits = (features * aligned).sum(dim=1, keepdim=True) / math.sqrt(width)
    return logits + alone if alone.shape[1] else logits


def forward_with_labels(network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
    """`network(x, labels)`, or `network(x)` if there are no labels."""
    out: Tensor = network(x) if labels is None else network(x, labels)
    return out
