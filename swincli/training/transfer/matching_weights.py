"""Transfer of weights between networks with other classes or heads: layers with matching shapes are loaded."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from swincli.model.files.snapshot import Weights

MAPPING_INPUT = "mapping.1.weight"  # G's first mapping layer; its input is z, with classes also a class embedding


def load_matching(network: nn.Module, weights: Weights) -> list[str]:
    """Load the layers whose names and shapes match; the others keep their values.

    When classes are added, G's first mapping layer is widened: its weights for z are loaded and those for the class
    embedding are zero, so G starts with the images it made before, for every class.

    Args:
        network: G or D; its weights are overwritten.
        weights: State dict of the same network with any number of classes.

    Returns:
        Parts of the network, such as "embedding", that have layers which were not loaded.
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
    """Resize the weight `[outputs, now]` of an equalised layer to `inputs` columns; kept columns keep their effect.

    Equalised layers divide their weight by the square root of the number of inputs.
    """
    now = weight.shape[1]
    if now == inputs:
        return weight
    resized = torch.zeros(len(weight), inputs, dtype=weight.dtype, device=weight.device)
    kept = min(now, inputs)
    resized[:, :kept] = weight[:, :kept] * math.sqrt(inputs / now)
    return resized
