"""Adaptive pseudo augmentation (APA; Jiang et al., NeurIPS 2021): D is shown some generated images as real ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from swincli.training.losses.batch import Batch


def swapped(
    generate: Callable[[Tensor, Tensor | None], Tensor], batch: Batch, p: float
) -> tuple[Tensor, Tensor | None]:
    """The reals of D's phase, each replaced with probability `p` by one of the images of G's phase of the same step.

    These come from other latents than D's fakes. A swapped image brings its own label. The gradient stops at it.

    Args:
        generate: Latents and labels -> images.
        batch: Reals, G's latents, and the draws "apa".
        p: Probability.

    Returns:
        Images `[B, 3, H, W]` and labels.
    """
    if not bool((batch.draws["apa"] < p).any()):  # of the host's numbers: nothing waits for the device
        return batch.reals, batch.labels
    chosen = batch.draw("apa").to(batch.reals.device) < p
    with torch.no_grad():
        fakes = generate(batch.g_latents, batch.g_labels)
    images = torch.where(chosen[:, None, None, None], fakes, batch.reals)
    if batch.labels is None or batch.g_labels is None:
        return images, batch.labels
    return images, torch.where(chosen.view(-1, *[1] * (batch.labels.ndim - 1)), batch.g_labels, batch.labels)
