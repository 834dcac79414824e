"""Weights of a network for one that has another number of classes: what fits is taken over, layer by layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from swincli.model.files.snapshot import Weights

MAPPING_INPUT = "mapping.1.weight"  # of G's first mapping layer, which sees z and, with classes, a class's vector too


def take_over(network: nn.Module, weights: Weights) -> list[str]:
    """Load the layers whose weights fit; the others keep what they start from.

    G's mapping network is widened where classes come in: the part that sees z stays what it was, and the part that sees
    the class starts at zero, so that G begins with the images that it drew before, whatever the class.

    Args:
        network: G or D; its weights are overwritten.
        weights: The state of a G or D of the same kind, but for its classes.

    Returns:
        The parts of the network, such as "embedding", in which some layer keeps its start.
    """
    own = network.state_dict()
    offered = dict(weights)
    if MAPPING_INPUT in own and MAPPING_INPUT in offered:
        offered[MAPPING_INPUT] = _resize_input(offered[MAPPING_INPUT], own[MAPPING_INPUT].shape[1])
    misfit = {_layer(name) for name, value in own.items() if name not in offered or offered[name].shape != value.shape}
    network.load_state_dict({name: own[name] if _layer(name) in misfit else offered[name] for name in own})
    return sorted({layer.partition(".")[0] for layer in misfit})


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or name


def _resize_input(weight: Tensor, inputs: int) -> Tensor:
    """The weight `[outputs, now]` of an equalised layer for more inputs or fewer; those kept have the effect they had.

    Equalised layers divide their weights by the square root of the inputs.
    """
    now = weight.shape[1]
    if now == inputs:
        return weight
    resized = torch.zeros(len(weight), inputs, dtype=weight.dtype, device=weight.device)
    kept = min(now, inputs)
    resized[:, :kept] = weight[:, :kept] * math.sqrt(inputs / now)
    return resized
