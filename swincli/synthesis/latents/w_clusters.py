"""Cluster centres of w (k-means), for truncation towards the nearest of several centres."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.synthesis.latents.codes import w_of_seeds

SAMPLES = 10_000
MAX_CENTRES = SAMPLES // 20  # a cluster needs about 20 codes for a stable centre
_BATCH = 1000


def sample_w(model: Model) -> Tensor:
    """The w of seeds 0 to 9,999, float64 `[10000, latent_dim]` on the CPU. All classes are equally likely."""
    parts = [w_of_seeds(model, range(start, start + _BATCH)) for start in range(0, SAMPLES, _BATCH)]
    return torch.cat([part.cpu().double() for part in parts])


def cluster_centres(model: Model, count: int) -> Tensor:
    """Centres of `count` clusters of w, float32 `[count, latent_dim]` on the model's device.

    k-means on 10,000 codes, as in Mokady et al. (2022), section 3.3, initialised by k-means++ (Arthur and
    Vassilvitskii, 2007) with a fixed seed. A model always gets the same centres. One centre is the mean.
    """
    from scipy.cluster.vq import kmeans2

    w = sample_w(model).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster keeps its previous centre
        centres, _ = kmeans2(w, count, iter=30, minit="++", rng=np.random.default_rng(0))
    return torch.from_numpy(centres).float().to(model.device)
