"""The weights of a discriminator that are computed from its parameters, all together at the start of a forward."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from swincli.model.blocks.layers import EqualWeight, SpectralWeight
from swincli.ops.precision import in_float32
from swincli.ops.spectral_norm import spectral_weights


def compute_together(device: torch.device) -> bool:
    """Whether a device computes all weights together.

    On CPUs a launch costs little. On MPS, operations on parts of a matrix have had wrong results in some versions.
    """
    return device.type not in ("cpu", "mps")


class Kernels:
    """The weights from `make_weight` in a network, at the time when this is made; later ones compute their own.

    Args:
        network: Every forward of it uses all of its weights.
    """

    def __init__(self, network: nn.Module) -> None:
        self.spectral = [module for module in network.modules() if isinstance(module, SpectralWeight)]
        self.equal = [module for module in network.modules() if isinstance(module, EqualWeight)]

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """In the block, the modules return weights that are computed here, if the device wants them together.

        Spectral norm's vectors of modules in training mode move once, however often the block uses a weight. So do they
        if each module computes its own in a forward: uses after the first are in `Networks.frozen_vectors`.
        """
        modules: list[SpectralWeight | EqualWeight] = [*self.spectral, *self.equal]
        if not modules or not compute_together(modules[0].weight.device):
            yield
            return
        try:
            self._prepare(modules[0].weight)
            yield
        finally:
            for module in modules:
                module.prepared = None

    @in_float32
    def _prepare(self, like: Tensor) -> None:  # noqa: ARG002
        """Compute the weights, in float32 under autocast on the device of `like`."""
        for is_moving, group in itertools.groupby(sorted(self.spectral, key=_is_training), key=_is_training):
            _prepare_spectral(list(group), move=is_moving)
        if self.equal:
            weights = torch._foreach_mul([each.weight for each in self.equal], [each.scale for each in self.equal])
            for module, weight in zip(self.equal, weights, strict=True):
                module.prepared = weight


def _is_training(module: nn.Module) -> bool:
    return module.training


def _prepare_spectral(modules: list[SpectralWeight], *, move: bool) -> None:
    old_u, old_v = [module.u for module in modules], [module.v for module in modules]
    weights, u, v = spectral_weights([module.weight for module in modules], old_u, old_v, move=move)
    if move:
        torch._foreach_copy_([*old_u, *old_v], [*u, *v])
    for module, weight in zip(modules, weights, strict=True):
        module.prepared = weight
