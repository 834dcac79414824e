"""R-precision (Xu et al., AttnGAN, CVPR 2018): is the text that an image was drawn from nearer to it than 99 others?

The judge is a matcher that is trained here, on features of real images and vectors of their captions. It never sees the
generator or its discriminator. Both are projected to 128 numbers of length 1, and pairs are told apart in a batch
(InfoNCE: van den Oord et al., 2018; both ways as in CLIP: Radford et al., 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

OTHERS = 99
SAME = 0.99  # cosine from which two texts are the same
JOINT, HIDDEN = 128, 256
BATCH, STEPS, WARM_UP = 256, 600, 50
RATE, DECAY, DROPOUT, NOISE = 1e-3, 0.05, 0.2, 0.1
START = np.log(1 / 0.07)  # of the temperature's logarithm, as in CLIP


class Matcher(nn.Module):
    """Image features and text vectors in one space of `JOINT` numbers.

    Args:
        mean, deviation: Of the training images' features, `[F]`.
        width: Length of a text's vector.
    """

    def __init__(self, mean: Tensor, deviation: Tensor, width: int) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation
        self.image, self.text = _tower(len(mean), DROPOUT), _tower(width, 0.0)
        self.scale = nn.Parameter(torch.tensor(START, dtype=torch.float32))

    def of_images(self, features: Tensor) -> Tensor:
        """`[N, F] -> [N, JOINT]`, of length 1."""
        return F.normalize(self.image((features - self.mean) / self.deviation), dim=1)

    def of_texts(self, texts: Tensor) -> Tensor:
        """`[N, C] -> [N, JOINT]`, of length 1."""
        return F.normalize(self.text(texts), dim=1)


def _tower(width: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, JOINT))


def train_matcher(
    features: NDArray[np.float32],
    texts: Callable[[np.random.Generator], NDArray[np.float32]],
    seed: int,
    advance: Callable[[int], object] = lambda _: None,
    steps: int = STEPS,
) -> Matcher:
    """Train a matcher on the CPU.

    Args:
        features: Of real images, `[N, F]`.
        texts: Draws a caption of each image, `[N, C]`, of length 1.
        seed: Of the weights, the batches and the captions.
        advance: Called with the number of steps done.
        steps: Steps of Adam.
    """
    random = np.random.default_rng(seed)
    images = torch.from_numpy(features)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        matcher = Matcher(images.mean(dim=0), images.std(dim=0) + 1e-3, texts(random).shape[1]).train()
        optimiser = torch.optim.AdamW(matcher.parameters(), lr=RATE, weight_decay=DECAY)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1, (step + 1) / WARM_UP) * (1 - step / steps)
            chosen = random.permutation(len(features))[:BATCH]
            said = torch.from_numpy(texts(random)[chosen])
            optimiser.zero_grad()
            _loss(matcher, images[chosen], said).backward()
            optimiser.step()
            advance(1)
    return matcher.eval().requires_grad_(False)


def _loss(matcher: Matcher, images: Tensor, texts: Tensor) -> Tensor:
    """Cross-entropy both ways over a batch; equal texts of other images are no wrong answers."""
    noisy = F.normalize(texts + NOISE * torch.randn_like(texts) / texts.shape[1] ** 0.5, dim=1)
    logits = matcher.scale.exp().clamp(max=100) * matcher.of_images(images) @ matcher.of_texts(noisy).T
    same = (texts @ texts.T > SAME) & ~torch.eye(len(texts), dtype=torch.bool)
    logits = logits.masked_fill(same, -torch.inf)
    right = torch.arange(len(texts))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


@torch.inference_mode()
def own_text_first(
    matcher: Matcher,
    features: NDArray[np.float32],
    texts: NDArray[np.float32],
    pool: NDArray[np.float32],
    seed: int,
) -> NDArray[np.bool_]:
    """Whether each image is nearer to its own text than to 99 others, bool `[N]`.

    Args:
        matcher: From `train_matcher`.
        features: Of images, `[N, F]`.
        texts: Their texts, `[N, C]`.
        pool: Texts that the others are drawn from, `[M, C]`; those that are the same as the own one are passed over.
        seed: Of the draw.
    """
    images, own, others = (matcher.of_images(torch.from_numpy(features)), *map(torch.from_numpy, (texts, pool)))
    scores, of_own = images @ matcher.of_texts(others).T, (images * matcher.of_texts(own)).sum(dim=1)
    same, random, first = own @ others.T > SAME, np.random.default_rng(seed), []
    for row, best, equal in zip(scores.numpy(), of_own.numpy(), same.numpy(), strict=True):
        candidates = random.permutation(len(row))
        chosen = candidates[~equal[candidates]][:OTHERS]
        first.append(bool(len(chosen)) and bool((row[chosen] < best).all()))
    return np.array(first)


@dataclass(frozen=True)
class TextMatch:
    """Whether images fit their texts best, bool `[N]` each.

    Attributes:
        drawn: Images of texts of training images.
        real: Real images that the matcher was not trained on: what can be reached.
        shuffled: The drawn images with each other's texts: what chance gives.
        held_out: Images of texts of held-out images; None without a held-out store.
        real_held_out: The held-out images themselves.
    """

    drawn: NDArray[np.bool_]
    real: NDArray[np.bool_]
    shuffled: NDArray[np.bool_]
    held_out: NDArray[np.bool_] | None = None
    real_held_out: NDArray[np.bool_] | None = None

    def hits(self) -> dict[str, NDArray[np.bool_]]:
        """All shares by the names of their values."""
        named = {
            "r_precision": self.drawn,
            "r_precision_held_out": self.held_out,
            "r_precision_real": self.real,
            "r_precision_real_held_out": self.real_held_out,
            "r_precision_shuffled": self.shuffled,
        }
        return {name: hits for name, hits in named.items() if hits is not None}
