"""The adversarial losses as a table: what D and G minimise, given logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Adversarial:
    """An adversarial loss. Logits are `[B, ...]`, high for reals.

    Attributes:
        d: Loss of D, `[]`, from the logits of reals and of fakes.
        g: Loss of G per logit, from the logits of fakes and, if `paired`, of reals.
        paired: Whether real i is compared with fake i, so that G's phase needs reals too.
        boundary: The logit between reals and fakes, of an undecided D; of `paired` losses the difference. None if there
            is none, since a constant added to all logits changes nothing.
    """

    d: Callable[[Tensor, Tensor], Tensor]
    g: Callable[[Tensor, Tensor | None], Tensor]
    paired: bool = False
    boundary: float | None = 0.0


def _paired_g(fake: Tensor, real: Tensor | None) -> Tensor:
    assert real is not None
    return F.softplus(real - fake)


ADVERSARIAL: dict[str, Adversarial] = {
    "logistic": Adversarial(  # Goodfellow et al., 2014: non-saturating
        d=lambda real, fake: F.softplus(fake).mean() + F.softplus(-real).mean(),
        g=lambda fake, _: F.softplus(-fake),
    ),
    "hinge": Adversarial(  # Lim and Ye, 2017
        d=lambda real, fake: F.relu(1 + fake).mean() + F.relu(1 - real).mean(),
        g=lambda fake, _: -fake,
    ),
    "least-squares": Adversarial(  # Mao et al., 2017, with halves
        d=lambda real, fake: 0.5 * fake.square().mean() + 0.5 * (real - 1).square().mean(),
        g=lambda fake, _: 0.5 * (fake - 1).square(),
        boundary=0.5,
    ),
    "wasserstein": Adversarial(  # Arjovsky et al., 2017; needs a Lipschitz bound, such as spectral norm
        d=lambda real, fake: fake.mean() - real.mean(),
        g=lambda fake, _: -fake,
        boundary=None,
    ),
    "relativistic": Adversarial(  # Jolicoeur-Martineau, 2018, as in R3GAN (Huang et al., 2024)
        d=lambda real, fake: F.softplus(fake - real).mean(),
        g=_paired_g,
        paired=True,
    ),
}
