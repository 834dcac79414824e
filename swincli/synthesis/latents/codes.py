"""Latent codes of seeds, of given z and of files: z on the CPU, w and w+ on the model's device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model, mean_w_of_labels
from swincli.synthesis.latents.attributes import draw_attributes
from swincli.synthesis.latents.classes import draw_labels
from swincli.synthesis.latents.files import Latents
from swincli.synthesis.latents.texts import without_text
from swincli.synthesis.latents.truncation import NO_TRUNCATION, Truncation, truncate


def z_from_seeds(seeds: Sequence[int], latent_dim: int) -> Tensor:
    """One z per seed, `[N, latent_dim]` ~ N(0, 1) on the CPU.

    Each seed has its own random generator. Its z does not depend on the other seeds, the batch size or the device.
    """
    rows = [torch.randn(latent_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, latent_dim)


@torch.inference_mode()
def w_of_seeds(model: Model, seeds: Sequence[int], labels: Tensor | None = None) -> Tensor:
    """The w of seeds, `[N, latent_dim]`, without truncation.

    Args:
        model: A model from `load_model`.
        seeds: N seeds.
        labels: For a conditional model, `[N]` or `[N, columns]`. Default: drawn, all classes equally likely, attributes
            as they occur together in training.
    """
    z = z_from_seeds(seeds, model.recipe.model.latent_dim).to(model.device)
    labels = _labels(model, seeds, labels)
    return model.generator.map(z) if labels is None else model.generator.map(z, labels)


@torch.inference_mode()
def codes_of_seeds(
    model: Model, seeds: Sequence[int], truncation: Truncation = NO_TRUNCATION, labels: Tensor | None = None
) -> Tensor:
    """The w+ of seeds, `[N, L, latent_dim]`, truncated towards the model's mean w or the mean w of each one's labels.

    Labels as in `w_of_seeds`.
    """
    z = z_from_seeds(seeds, model.recipe.model.latent_dim).to(model.device)
    return codes_of_z(model, z, truncation, _labels(model, seeds, labels))


@torch.inference_mode()
def codes_of_z(model: Model, z: Tensor, truncation: Truncation = NO_TRUNCATION, labels: Tensor | None = None) -> Tensor:
    """The w+ of z: `[N, latent_dim] -> [N, L, latent_dim]`, truncated as in `codes_of_seeds`.

    A conditional model takes the labels of each z. Both tensors are on the model's device.
    """
    w = model.generator.map(z, labels)
    if truncation.guidance != 1.0 and labels is not None and model.attributes is not None:
        w = truncate(w, model.generator.map(z, without_text(model.attributes, labels)), truncation.guidance)
    w_plus = model.generator.broadcast(w)
    if truncation.strength == 1.0:
        return w_plus
    return truncation.apply(w_plus, _centres(model, labels, truncation.guidance))


def _centres(model: Model, labels: Tensor | None, guidance: float) -> Tensor:
    """The truncation centres of images, `[N, latent_dim]` or one `[latent_dim]`: the mean w of their labels.

    That of a text is the mean w of this text, so truncation does not make texts alike; with guidance, it is moved too.
    """
    if labels is None:
        return model.w_mean
    if model.w_mean_by_class is not None:
        return model.w_mean_by_class[labels]
    if model.attributes is None:
        return model.w_mean
    centres = mean_w_of_labels(model.generator, labels)
    if guidance == 1.0:
        return centres
    return truncate(centres, mean_w_of_labels(model.generator, without_text(model.attributes, labels)), guidance)


@torch.inference_mode()
def codes_of_latents(model: Model, latents: Latents, truncation: Truncation = NO_TRUNCATION) -> Tensor:
    """The w+ of codes from a file, `[N, L, latent_dim]`, truncated towards the model's mean w.

    Raises:
        UsageError: z for a conditional model, whose w also depends on the class.
    """
    codes = latents.values.to(model.device)
    if latents.space == "z":
        check_unconditional(model, "--latents")
        codes = model.generator.map(codes)
    return truncation.apply(codes if codes.ndim == 3 else model.generator.broadcast(codes), model.w_mean)


def check_unconditional(model: Model, option: str) -> None:
    """Refuse z without labels for a conditional model; `option` is what the user gave, such as "--latents z.npz".

    Raises:
        UsageError: the model is conditional: its w also depends on the class.
    """
    if model.is_conditional:
        raise UsageError(f"{option}: z alone does not define an image of a conditional model", "Give w or w_plus.")


def _labels(model: Model, seeds: Sequence[int], labels: Tensor | None) -> Tensor | None:
    if labels is None and model.classes is not None:
        labels = draw_labels(seeds, model.classes.even)
    elif labels is None and model.attributes is not None:
        labels = draw_attributes(model.attributes, seeds)
    return None if labels is None else labels.to(model.device)
