"""Cluster centres of w: what codes are drawn to where one mean is too few."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.synthesis.latents.codes import w_of_seeds

SAMPLES = 10_000
MOST_CENTRES = SAMPLES // 20  # a cluster of fewer codes has no centre worth the name
_BATCH = 1000


def many_w(model: Model) -> Tensor:
    """w of the seeds 0 to 9,999, float64 `[10000, latent_dim]` on the CPU; of all classes alike."""
    parts = [w_of_seeds(model, range(start, start + _BATCH)) for start in range(0, SAMPLES, _BATCH)]
    return torch.cat([part.double().cpu() for part in parts])


def cluster_centres(model: Model, count: int) -> Tensor:
    """Centres of `count` clusters of w, float32 `[count, latent_dim]` on the model's device.

    k-means (with the start of Arthur and Vassilvitskii, 2007, and a fixed seed) of 10,000 codes, as in Mokady et al.
    (2022), section 3.3. One centre is the mean. A model always has the same centres.
    """
    from scipy.cluster.vq import kmeans2

    w = many_w(model).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster keeps the centre that it had
        centres, _ = kmeans2(w, count, iter=30, minit="++", rng=np.random.default_rng(0))
    return torch.from_numpy(centres).float().to(model.device)
