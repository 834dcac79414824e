"""The matching-aware terms: an image with another image's text is as wrong as a fake (Reed et al., GAN-CLS, ICML 2016).

Without texts, one of the image's attributes is another image's instead. D learns it on reals and on fakes. G learns it
too: a picture that also fits a foreign text fits none well (Kang et al., GigaGAN, CVPR 2023, which sees FID fall from
27.3 to 21.7 by G's part).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.training.losses.phases import DPhase, GPhase
from swincli.training.losses.views import View


def matching_d(phase: DPhase) -> Tensor:
    """`E softplus(D(x, t')) + E softplus(D(G(z, t), t'))` for foreign texts or labels t'."""
    return _accepted(phase.real) + _accepted(phase.fake)


def matching_g(phase: GPhase) -> Tensor:
    """`E softplus(D(G(z, t), t'))`: D and G work together here."""
    return _accepted(phase.fake)


def _accepted(view: View) -> Tensor:
    """How far D accepts images with foreign labels. Images whose foreign labels are unknown count with 0.

    So the mean does not depend on how a batch is split.
    """
    assert view.foreign_logits is not None
    assert view.foreign_known is not None
    each = F.softplus(view.foreign_logits).flatten(1).mean(dim=1)
    return torch.where(view.foreign_known, each, 0).mean()
