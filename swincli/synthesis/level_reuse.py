"""Reuse of the generator's lower levels: batches of w+ that share their first codes share the maps of these levels.

The images are those of `Generator.synthesise`, bit for bit. For that, a batch goes on from the map of the batch before
it only if it has as many rows, and each row has the codes of the same row there: the size of a batch and the place in
it decide how matrix products round. So no row is computed once and copied to the others of its batch. The smaller the
batch, the more is saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from swincli.model.generator import Generator, Partial
from swincli.synthesis.latents.layer_ranges import CODES_OF_A_LEVEL


def shared_levels(one: Tensor, other: Tensor) -> int:
    """Number of first levels, of two codes each, that two batches of w+ `[B, L, latent_dim]` share, row by row.

    It is 0 for batches of different sizes. The comparison waits for a GPU.
    """
    if one.shape != other.shape:
        return 0
    equal = (one == other).all(dim=2).all(dim=0)
    return int(equal.long().cumprod(0).sum()) // CODES_OF_A_LEVEL


def synthesise_all(generator: Generator, batches: Iterable[Tensor], until: int | None = None) -> Iterator[Tensor]:
    """Images of batches of w+, `[B, 3, size, size]` each, in the network's pixel range, without gradients.

    One batch is read ahead, so only the map that it needs is kept. In training mode nothing is reused: norms with the
    statistics of the batch (AdaBN) count each pass.

    Args:
        generator: The network.
        batches: The codes, `[B, L, latent_dim]` each.
        until: Levels of a preview, see `Generator.preview`; None for the whole image.
    """
    end = len(generator.levels) if until is None else until
    kept: Partial | None = None
    for w_plus, following in _with_next(batches):
        with torch.inference_mode():
            partial = generator.begin(w_plus) if kept is None else kept
            shared = 0 if following is None or generator.training else min(end, shared_levels(w_plus, following))
            kept = None
            if shared >= max(1, partial.done):
                kept = partial = generator.synthesise_from(partial, w_plus, shared)
            image = generator.preview(generator.synthesise_from(partial, w_plus, end))
        yield image


def _with_next(batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Every batch with the one after it; None after the last."""
    last: Tensor | None = None
    for batch in batches:
        if last is not None:
            yield last, batch
        last = batch
    if last is not None:
        yield last, None
