"""Codes of images: w and w+ on a model's device, of seeds and of what files hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.classes import draw_labels
from swincli.synthesis.latents.files import Latents
from swincli.synthesis.latents.seeds import z_from_seeds
from swincli.synthesis.latents.truncation import Truncation

WHOLE = Truncation()


@torch.inference_mode()
def w_of_seeds(model: Model, seeds: Sequence[int], labels: Tensor | None = None) -> Tensor:
    """w of seeds, `[N, latent_dim]`, not truncated.

    A conditional model takes a label for every seed, int64 `[N]`, by default drawn from all classes alike.
    """
    z = z_from_seeds(seeds, model.recipe.model.latent_dim).to(model.device)
    labels = _labels(model, seeds, labels)
    return model.generator.map(z) if labels is None else model.generator.map(z, labels)


@torch.inference_mode()
def codes_of_seeds(
    model: Model, seeds: Sequence[int], truncation: Truncation = WHOLE, labels: Tensor | None = None
) -> Tensor:
    """w+ of seeds, `[N, L, latent_dim]`, truncated towards the mean w of the model, or of each label's class.

    Labels as in `w_of_seeds`.
    """
    z = z_from_seeds(seeds, model.recipe.model.latent_dim).to(model.device)
    return codes_of_z(model, z, truncation, _labels(model, seeds, labels))


@torch.inference_mode()
def codes_of_z(model: Model, z: Tensor, truncation: Truncation = WHOLE, labels: Tensor | None = None) -> Tensor:
    """w+ of z `[N, latent_dim]`, `[N, L, latent_dim]`, truncated as in `codes_of_seeds`.

    A conditional model takes a label for every z, int64 `[N]`; both are on the model's device.
    """
    w_plus, by_class = model.generator.broadcast(model.generator.map(z, labels)), model.w_mean_by_class
    return truncation.apply(w_plus, model.w_mean if labels is None or by_class is None else by_class[labels])


@torch.inference_mode()
def codes_of_latents(model: Model, latents: Latents, truncation: Truncation = WHOLE) -> Tensor:
    """w+ of given codes, `[N, L, latent_dim]`, truncated towards the model's mean w.

    Raises:
        UsageError: z for a conditional model, whose w depends on the class as well.
    """
    codes = latents.values.to(model.device)
    if latents.space == "z":
        if model.classes is not None:
            hint = "Give w or w_plus."
            raise UsageError("--latents: a z alone does not decide an image of a model with classes", hint)
        codes = model.generator.map(codes)
    return truncation.apply(codes if codes.ndim == 3 else model.generator.broadcast(codes), model.w_mean)


def _labels(model: Model, seeds: Sequence[int], labels: Tensor | None) -> Tensor | None:
    if labels is None and model.classes is not None:
        labels = draw_labels(seeds, model.classes.even)
    return None if labels is None else labels.to(model.device)
