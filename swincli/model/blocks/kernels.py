"""The weights of a discriminator that are computed from its parameters, all together at the start of a forward.

A convolution's weight and bias get the gain of its activation too, which then is no operation on the map.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from swincli.model.blocks.layers import GAIN, Conv, EqualWeight, SpectralWeight
from swincli.ops.precision import in_float32
from swincli.ops.scaling import scaled_together
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
        self.convs = [module for module in network.modules() if isinstance(module, Conv)]
        self.spectral = sorted(
            (module for module in network.modules() if isinstance(module, SpectralWeight)), key=_shape
        )
        self.equal = [module for module in network.modules() if isinstance(module, EqualWeight)]
        activated = {id(conv.kernel) for conv in self.convs}
        self._gains = {id(each): GAIN if id(each) in activated else 1.0 for each in [*self.spectral, *self.equal]}

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
            for module in (*modules, *self.convs):
                module.prepared = None

    @in_float32
    def _prepare(self, like: Tensor) -> None:  # noqa: ARG002
        """Compute the weights and biases, in float32 under autocast on the device of `like`."""
        for is_moving, group in itertools.groupby(sorted(self.spectral, key=_is_training), key=_is_training):
            self._prepare_spectral(list(group), move=is_moving)
        tensors = [each.weight for each in self.equal] + [conv.bias for conv in self.convs]
        factors = [each.scale * self._gains[id(each)] for each in self.equal] + [GAIN] * len(self.convs)
        scaled = scaled_together(tensors, factors)
        for module, weight in zip(self.equal, scaled, strict=False):
            module.prepared = weight
        for conv, bias in zip(self.convs, scaled[len(self.equal) :], strict=True):
            conv.prepared = (conv.kernel(), bias)

    def _prepare_spectral(self, modules: list[SpectralWeight], *, move: bool) -> None:
        old_u, old_v = [module.u for module in modules], [module.v for module in modules]
        gains = [self._gains[id(module)] for module in modules]
        weights, u, v = spectral_weights([module.weight for module in modules], old_u, old_v, gains, move=move)
        if move:
            torch._foreach_copy_([*old_u, *old_v], [*u, *v])
        for module, weight in zip(modules, weights, strict=True):
            module.prepared = weight


def _is_training(module: nn.Module) -> bool:
    return module.training


def _shape(module: SpectralWeight) -> tuple[int, ...]:
    return tuple(module.weight.shape)
