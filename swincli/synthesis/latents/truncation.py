"""The truncation trick: move codes towards a centre, for more typical and less varied images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Truncation:
    """Settings of truncation.

    Attributes:
        strength: psi of StyleGAN (Karras et al., 2019, appendix B). 1 changes nothing, 0 gives the centre.
        layers: Number of codes of w+ to truncate, counted from the coarsest; None for all. The finer codes then keep
            their variety, mostly in colour and texture.
        centres: Centres `[K, latent_dim]`; each code moves towards the nearest one (multi-modal truncation: Mokady et
            al., 2022, section 3.3). None for the model's mean w, or the mean w of the image's class.
        guidance: Of models of texts: w moves away from the w without a text, `w0 + guidance (w - w0)`; 1 changes
            nothing. It comes before truncation.
    """

    strength: float = 1.0
    layers: int | None = None
    centres: Tensor | None = None
    guidance: float = 1.0

    def apply(self, w_plus: Tensor, mean: Tensor) -> Tensor:
        """Truncate w+ `[N, L, latent_dim]`.

        `mean` is the centre if `centres` is None: `[latent_dim]`, or one per image, `[N, latent_dim]`.
        """
        if self.strength == 1.0:
            return w_plus
        centre = mean if self.centres is None else nearest_centres(w_plus.mean(dim=1), self.centres)
        truncated = truncate(w_plus, centre[..., None, :], self.strength)
        if self.layers is None:
            return truncated
        return torch.cat([truncated[:, : self.layers], w_plus[:, self.layers :]], dim=1)


NO_TRUNCATION = Truncation()


def truncate(w: Tensor, center: Tensor, strength: float) -> Tensor:
    """Move w `[..., latent_dim]` towards a centre: `center + strength (w - center)`.

    1 returns w unchanged, 0 the centre (Karras et al., 2019, appendix B).
    """
    return w if strength == 1.0 else center + strength * (w - center)


def nearest_centres(w: Tensor, centres: Tensor) -> Tensor:
    """For each w of `[N, latent_dim]`, the nearest of the centres `[K, latent_dim]`: `[N, latent_dim]`."""
    return centres.to(w.device)[torch.cdist(w, centres.to(w.device)).argmin(dim=1)]
