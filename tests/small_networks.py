"""Networks whose losses can be worked out by hand, and small real ones, for tests of losses."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.discriminators.epilogue import judge
from swincli.model.discriminators.registry import make_discriminator
from swincli.recipe.schema import ModelSection

MODEL = ModelSection(size=16, latent_dim=16, mapping_layers=1, g_width=16, d_width=8)
WIDTH = MODEL.channels("d")[4]


class Said(nn.Module):
    """A discriminator that says given logits, one after another, and has one parameter."""

    def __init__(self, *logits: list[float]) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))
        self.answers = [torch.tensor(values)[:, None] for values in logits]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        return self.answers.pop(0) + self.shift + 0.0 * images.flatten(1).sum(dim=1, keepdim=True)


class Sloped(nn.Module):
    """D(x) = a . x + b."""

    def __init__(self, slope: Tensor, offset: float = 0.0) -> None:
        super().__init__()
        self.slope, self.offset = nn.Parameter(slope), offset

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        return (images * self.slope).flatten(1).sum(dim=1, keepdim=True) + self.offset


class Pictures(nn.Module):
    """A linear generator: z `[B, 16]` -> images `[B, 3, 16, 16]`."""

    def __init__(self, scale: float = 0.2) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale * torch.randn(16, 3 * 16 * 16, generator=torch.Generator().manual_seed(3)))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        return (z @ self.weight).view(-1, 3, 16, 16)


class LinearTrunk(nn.Module):
    """A discriminator with a linear trunk without biases, and the real epilogue."""

    def __init__(self) -> None:
        super().__init__()
        self.real = small_discriminator()
        self.mix = torch.randn(WIDTH, 3, generator=torch.Generator().manual_seed(4))
        self.std_group, self.embedding = self.real.std_group, None
        self.final_conv, self.hidden, self.hidden_bias, self.logit = (
            self.real.final_conv,
            self.real.hidden,
            self.real.hidden_bias,
            self.real.logit,
        )

    def features(self, images: Tensor) -> Tensor:
        return torch.einsum("bchw,dc->bdhw", F.avg_pool2d(images, 4), self.mix)

    def forward(self, images: Tensor, labels: Tensor | None = None, through: Any = None) -> Any:
        return (through or judge)(self, images, labels)  # type: ignore[arg-type]


def small_discriminator(seed: int = 0, **keys: Any) -> Any:
    """A real discriminator of 16 px images; its width in the epilogue is `WIDTH`."""
    torch.manual_seed(seed)
    return make_discriminator(MODEL.model_copy(update=keys))
