"""Truncation: drawing codes towards a centre, where images are more typical and vary less."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Truncation:
    """How codes are truncated.

    Attributes:
        strength: 1 leaves them as they are, 0 gives the centre (Karras et al., 2019, appendix B).
        layers: So many codes of w+, from the coarsest on, are truncated; None for all of them. The finer ones then
            keep their variety, mostly of colour and texture.
        centres: Centres `[K, latent_dim]`, of which a code is drawn to the nearest (multi-modal truncation: Mokady et
            al., 2022, section 3.3); None for the model's mean w, or that of the image's class.
    """

    strength: float = 1.0
    layers: int | None = None
    centres: Tensor | None = None

    def apply(self, w_plus: Tensor, mean: Tensor) -> Tensor:
        """Truncate w+ `[N, L, latent_dim]`; `mean`, `[latent_dim]` or one an image `[N, latent_dim]`, is the centre
        where no other ones are given."""
        if self.strength == 1.0:
            return w_plus
        centre = mean if self.centres is None else nearest(w_plus.mean(dim=1), self.centres)
        drawn = truncate(w_plus, centre[..., None, :], self.strength)
        return drawn if self.layers is None else torch.cat([drawn[:, : self.layers], w_plus[:, self.layers :]], dim=1)


def truncate(w: Tensor, center: Tensor, strength: float) -> Tensor:
    """Pull w `[..., latent_dim]` towards a centre: `center + strength (w - center)`.

    1 leaves w as it is, 0 gives the centre: less variety, more typical images (Karras et al., 2019, appendix B).
    """
    return w if strength == 1.0 else center + strength * (w - center)


def nearest(w: Tensor, centres: Tensor) -> Tensor:
    """For every w `[N, latent_dim]` the nearest of centres `[K, latent_dim]`: `[N, latent_dim]`."""
    return centres.to(w.device)[torch.cdist(w, centres.to(w.device)).argmin(dim=1)]
