"""Captions in training: which caption of an image is shown, noise on its vector, and texts of other images."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.data.store.captions import Captions
from swincli.model.files.known_texts import MOST_TEXTS, KnownTexts
from swincli.recipe.objective import AugmentSection
from swincli.training.rng import derive

ALIKE = 0.9  # cosine above which two captions say the same, so that one is not wrong for the other's image


def first_captions(captions: Captions, images: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vector of each image's first caption, float32 `[N, C]`."""
    return captions.columns(captions.drawn(images, np.zeros(len(images))))


def drawn_captions(captions: Captions, images: NDArray[np.int64], seed: int, images_seen: int) -> Tensor:
    """The vector of one caption of each image, drawn by (seed, images seen): int64 `[3, B]` -> float32 `[3, B, C]`."""
    uniform = torch.rand(images.shape, generator=derive(seed, "captions", images_seen), dtype=torch.float64).numpy()
    texts = captions.drawn(images.reshape(-1), uniform.reshape(-1))
    columns: Tensor = torch.from_numpy(captions.columns(texts)).unflatten(0, images.shape)
    return columns


def foreign_texts(texts: Tensor, images: NDArray[np.int64]) -> Tensor:
    """For each image the text of the one before it in the batch; NaN where it is no wrong text for the image.

    It is none if it is the same image's, or nearly the same text. The batch is the whole one: however it is split, an
    image has the same foreign text.

    Args:
        texts: float32 `[3, B, C]`, of length 1.
        images: Which images the texts describe, int64 `[3, B]`.
    """
    other = texts.roll(1, dims=1)
    same = torch.from_numpy(images == np.roll(images, 1, axis=1))
    alike = (texts * other).sum(dim=2) > ALIKE
    return torch.where((same | alike)[..., None], math.nan, other)


def varied(texts: Tensor, section: AugmentSection, seed: int, name: str, images_seen: int) -> Tensor:
    """Texts with noise, of length 1 again; and some unknown (NaN), so that G and D learn images without a text.

    G and D get the same ones, of reals as of fakes. Noise spreads few texts over the space between them (conditioning
    augmentation: Zhang et al., StackGAN, ICCV 2017).

    Args:
        texts: float32 `[N, B, C]`.
        section: `text_noise` is the length of the noise, `text_drop` the share of unknown ones.
        seed: Seed of the run.
        name: Separates the numbers from those of other texts of a step.
        images_seen: Images shown before the step.
    """
    random = derive(seed, name, images_seen)
    if section.text_noise:
        noise = torch.randn(texts.shape, generator=random) * (section.text_noise / math.sqrt(texts.shape[-1]))
        texts = torch.nn.functional.normalize(texts + noise, dim=-1)
    if section.text_drop:
        dropped = torch.rand(texts.shape[:-1], generator=random) < section.text_drop
        texts = torch.where(dropped[..., None], math.nan, texts)
    return texts


def known_texts(captions: Captions) -> KnownTexts:
    """The captions that a model keeps: the most frequent ones, and of equally frequent ones a spread over the store."""
    counts = np.bincount(captions.ids, minlength=len(captions.texts))
    spread = np.random.default_rng(0).permutation(len(counts))
    kept = np.sort(spread[np.argsort(-counts[spread], kind="stable")][:MOST_TEXTS])
    facts = captions.facts
    texts = tuple(captions.texts[place] for place in kept)
    return KnownTexts(facts.encoder, facts.encoder_sha256, captions.centre, texts, captions.vectors[kept])
