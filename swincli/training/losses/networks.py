"""How losses call G and D: precision, compilation, and forwards that leave spectral norm's vectors alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from swincli.model.blocks.conditioning import Through, forward_with_labels
from swincli.model.blocks.layers import SpectralWeight


@dataclass(frozen=True)
class Networks:
    """The two networks as a loss sees them.

    Attributes:
        generator: z (and labels, if conditional) -> images.
        discriminator: Images (and labels) -> logits.
        precision: bfloat16 runs both networks under autocast.
        compiled: Whether the networks are compiled; second derivatives then run them eagerly.
    """

    generator: nn.Module
    discriminator: nn.Module
    precision: torch.dtype = torch.float32
    compiled: bool = False

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """bfloat16 autocast if that is the precision, else nothing."""
        if self.precision == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=self.precision)

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Images of latents."""
        with self.autocast(latents.device):
            return forward_with_labels(self.generator, latents, labels)

    def judge(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Logits of images; in training mode, spectral norm's vectors move."""
        with self.autocast(images.device):
            return forward_with_labels(self.discriminator, images, labels)

    def look(self, through: Through, images: Tensor, labels: Tensor | None) -> Any:
        """`through(D, images, labels)` inside D's forward; in training mode, spectral norm's vectors move."""
        with self.autocast(images.device):
            return self.discriminator(images, labels, through)

    def trace(self, through: Through, latents: Tensor, labels: Tensor | None) -> Any:
        """`through(G, latents, labels)` inside G's forward, in float32 and eagerly, for second derivatives."""
        with self.differentiable_twice():
            return self.generator(latents, labels, through)

    @contextlib.contextmanager
    def frozen_vectors(self) -> Iterator[None]:
        """In the block, D's forwards use spectral norm's vectors as they are.

        The vectors move once in each main forward: those of the adversarial loss, of bCR, R1 and R2. Forwards that a
        term adds leave them alone, so a term does not change how fast spectral norm converges.
        """
        moving = [
            module for module in self.discriminator.modules() if isinstance(module, SpectralWeight) and module.training
        ]
        for module in moving:
            module.eval()
        try:
            yield
        finally:
            for module in moving:
                module.train()

    def module(self, name: str) -> nn.Module:
        """A submodule of D, such as AugSelf's heads."""
        network = self.discriminator
        return (network.module if isinstance(network, DistributedDataParallel) else network).get_submodule(name)

    def differentiable_twice(self) -> contextlib.AbstractContextManager[object]:
        """In the block, networks run eagerly: compiled code has no second derivative."""
        return torch.compiler.set_stance("force_eager") if self.compiled else contextlib.nullcontext()
