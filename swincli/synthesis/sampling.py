"""Images of seeds in batches, and images of given codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.model.pixels import to_pictures
from swincli.recipe.schema import ModelSection
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.truncation import NO_TRUNCATION, Truncation
from swincli.synthesis.level_reuse import synthesise_all
from swincli.system.device_copy import HostCopy

MAX_BATCH = 64
MAX_BATCH_PIXELS = 2**20  # of the default batch
MEMORY_SHARE = 0.5  # of a GPU's free memory, for one forward pass


def default_sampling_batch(size: int) -> int:
    """Default number of images per forward pass, by image side: 64 at 128 px, 16 at 256 px, 1 at 1024 px."""
    return max(1, min(MAX_BATCH, MAX_BATCH_PIXELS // size**2))


def sampling_batch(model: ModelSection, device: torch.device, free: int | None = None) -> int:
    """Number of images per forward pass of G where the user gives none.

    On CUDA it is the largest power of two up to `MAX_BATCH` that takes at most half of the free memory. Elsewhere it is
    `default_sampling_batch`. GPUs differ in it, so it must not decide which rank draws which image.

    Args:
        model: The recipe's [model] section.
        device: Where G runs.
        free: Free bytes of a CUDA device; asked for by default.
    """
    if device.type != "cuda":
        return default_sampling_batch(model.size)
    free = free_bytes(device) if free is None else free
    fitting = int(MEMORY_SHARE * free) // forward_bytes(model)
    return min(MAX_BATCH, 1 << max(0, fitting.bit_length() - 1))


def reuse_batch(model: ModelSection, device: torch.device) -> int:
    """Number of images per forward pass where images share their first codes and the user gives none.

    Levels are reused from batch to batch, so smaller batches save more. A CPU works in tiles of an image anyway, and
    takes one image at a time. On other devices it is `sampling_batch`.
    """
    return 1 if device.type == "cpu" else sampling_batch(model, device)


def preview_levels(model: ModelSection, side: int | None) -> int | None:
    """Number of levels that make up the running image of `--preview`; None for the whole image.

    The tRGB layer of a level comes after its upsampling, so the running image has 8 px after the level of 4 px.

    Raises:
        UsageError: the running image never has this side.
    """
    if side is None or side == model.size:
        return None
    sides = [2 * resolution for resolution in model.resolutions[:-1]]
    if side not in sides:
        raise UsageError(
            f"--preview {side}: the image does not pass this size",
            f"Give one of {', '.join(map(str, sides))}.",
        )
    return sides.index(side) + 1


def forward_bytes(model: ModelSection) -> int:
    """An upper bound of the memory that G's forward pass takes for an image, without gradients, in float32.

    The largest level decides. Its MLP holds 15 to 20 times the channels at once. The attention holds 64 weights of each
    token and head, and some more. Both were counted at 128 to 1024 px, with every operation on whole maps.
    """
    return max(
        side**2 * 4 * (20 * channels + 96 * model.heads_at(side)) for side, channels in model.channels("g").items()
    )


def free_bytes(device: torch.device) -> int:
    """Free memory of a CUDA device, with what PyTorch has reserved of it and does not use."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def generate(
    model: Model,
    seeds: Sequence[int],
    *,
    truncation: Truncation = NO_TRUNCATION,
    batch: int | None = None,
    labels: Tensor | None = None,
) -> Iterator[Tensor]:
    """Images of seeds, in their order: batches uint8 `[B, H, W, 3]` on the CPU.

    A seed gives the same image at every batch size beyond rounding: no channel differs by more than one level of 255.

    Args:
        model: A model from `load_model`.
        seeds: One per image.
        truncation: Of w, towards the model's mean w unless it has its own centres.
        batch: Images per forward pass. Default: `sampling_batch`.
        labels: For a conditional model: one label per image, int64 `[N]`. Default: drawn as in `w_of_seeds`.
    """
    step = batch or sampling_batch(model.recipe.model, model.device)
    parts = [slice(start, start + step) for start in range(0, len(seeds), step)]
    codes = (codes_of_seeds(model, seeds[part], truncation, None if labels is None else labels[part]) for part in parts)
    yield from render_all(model, codes)


def render_all(
    model: Model, batches: Iterable[Tensor], *, late: bool | None = None, preview: int | None = None
) -> Iterator[Tensor]:
    """Images of batches of w+, `[B, L, latent_dim]`: uint8 `[B, H, W, 3]` on the CPU.

    Args:
        model: The model.
        batches: The codes.
        late: Queue a batch before the images of the one before are waited for. By default on CUDA, where images are
            copied out while the next ones are computed. If not, levels whose codes do not change from batch to batch
            are computed once: see `level_reuse`.
        preview: Side of the running image to show in place of the whole one, see `preview_levels`.

    Raises:
        UsageError: the running image never has the side of `preview`.
    """
    late, until = model.device.type == "cuda" if late is None else late, preview_levels(model.recipe.model, preview)
    if not late:
        yield from (_pictures(model, images).cpu() for images in synthesise_all(model.generator, batches, until))
        return
    queued: HostCopy | None = None
    for w_plus in batches:
        images = HostCopy(_render(model, w_plus, until))
        if queued is not None:
            yield queued.get()
        queued = images
    if queued is not None:
        yield queued.get()


def render(model: Model, w_plus: Tensor) -> Tensor:
    """Images of w+ `[B, L, latent_dim]` in one forward pass: uint8 `[B, H, W, 3]` on the CPU."""
    return _render(model, w_plus).cpu()


def _render(model: Model, w_plus: Tensor, until: int | None = None) -> Tensor:
    (images,) = synthesise_all(model.generator, [w_plus], until)
    return _pictures(model, images)


@torch.inference_mode()
def _pictures(model: Model, images: Tensor) -> Tensor:
    section = model.recipe.model
    return to_pictures(images, section.pixel_mean, section.pixel_std)
