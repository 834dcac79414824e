"""Pictures of single codes, with the maps of unchanged levels kept, and small pictures of many codes."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.model.generator import Partial
from swincli.model.pixels import to_pictures
from swincli.synthesis.level_reuse import shared_levels

KEPT_BYTES = 2**26  # of a level's map; larger ones are computed anew
SOON = 0.12  # seconds in which a picture should be there; else a preview comes first
TILE_SIDE = 128  # pixels; larger models show their running image in the grid


class Renderer:
    """Draws pictures of a model, one at a time.

    The bits are those of `swincli sample` for a single image: see `Generator.synthesise_from`.

    Attributes:
        seconds: Time of the last whole picture from the first level on.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.seconds = 0.0
        self._kept: list[Partial] = []
        self._codes: Tensor | None = None
        self._by_level: list[float] = []

    @torch.inference_mode()
    def draw(self, w_plus: Tensor, until: int | None = None) -> Tensor:
        """The picture of w+ `[1, L, latent_dim]`: uint8 `[size, size, 3]` on the CPU.

        Args:
            w_plus: The code.
            until: Levels of a preview; None for the whole picture.
        """
        generator = self.model.generator
        end, started = len(generator.levels) if until is None else until, time.perf_counter()
        shared = 0 if self._codes is None else shared_levels(self._codes, w_plus)
        kept = self._kept[: min(shared, end) + 1] if shared else []
        partial = kept[-1] if kept else generator.begin(w_plus)
        first, seconds = partial.done, []
        kept = kept or [partial]
        while partial.done < end:
            partial = generator.synthesise_from(partial, w_plus, partial.done + 1)
            if partial.done < len(generator.levels) and partial.done == len(kept) and _size(partial) <= KEPT_BYTES:
                kept.append(partial)
            seconds.append(time.perf_counter() - started)
        self._kept, self._codes = kept, w_plus
        picture = self._pictures(generator.preview(partial))[0]
        if not first and until is None:
            self._by_level, self.seconds = seconds, time.perf_counter() - started
        return picture

    @torch.inference_mode()
    def tiles(self, w_plus: Tensor) -> Tensor:
        """Small pictures of w+ `[N, L, latent_dim]`: uint8 `[N, side, side, 3]`, at `TILE_SIDE` at most if smaller."""
        generator = self.model.generator
        partial = generator.synthesise_from(generator.begin(w_plus), w_plus, self._tile_levels())
        assert partial.image is not None
        return self._pictures(partial.image)

    def preview_levels(self) -> int | None:
        """Levels of a preview that is there soon; None if the whole picture is, or before the first whole picture."""
        if self.seconds <= SOON or not self._by_level:
            return None
        fast = [level for level, seconds in enumerate(self._by_level, 1) if seconds <= SOON]
        return max(fast, default=1)

    def _tile_levels(self) -> int:
        sides = [min(2 * side, self.model.recipe.model.size) for side in self.model.recipe.model.resolutions]
        return next((level for level, side in enumerate(sides, 1) if side >= TILE_SIDE), len(sides))

    def _pictures(self, images: Tensor) -> Tensor:
        section = self.model.recipe.model
        return to_pictures(images, section.pixel_mean, section.pixel_std).cpu()


def _size(partial: Partial) -> int:
    return partial.x.numel() * partial.x.element_size()
