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
TILES_SECONDS = 0.06  # of small pictures at once, as a large one may wait behind them
MOST_TILES = 12  # at once
TILE_SIDE = 128  # pixels; larger models show their running image in the grid
ENOUGH = 0.2  # share of a picture's deviation from its mean that a preview must show


class Renderer:
    """Draws pictures of a model, one at a time.

    The bits are those of `swincli sample` for a single image: see `Generator.synthesise_from`.

    Args:
        model: The model.
        first: The w+ `[1, L, latent_dim]` of a picture, from which it is learnt what the running image shows.
    """

    def __init__(self, model: Model, first: Tensor) -> None:
        self.model = model
        self._kept: list[Partial] = []
        self._codes: Tensor | None = None
        self._seconds = [0.0] * len(model.generator.levels)  # of each level, the last time
        self._shown = self._shares(first)
        self._tile_seconds = 0.0
        self.draw(first)  # the first picture of a process takes longer; the second says what they take

    @torch.inference_mode()
    def draw(self, w_plus: Tensor, until: int | None = None) -> Tensor:
        """The picture of w+ `[1, L, latent_dim]`: uint8 `[size, size, 3]` on the CPU; smaller for a preview.

        Args:
            w_plus: The code.
            until: Levels of a preview, which is the running image at its own resolution; None for the whole picture.
        """
        generator = self.model.generator
        end = len(generator.levels) if until is None else until
        known = min(self._known_levels(w_plus), end)
        kept = self._kept[: known + 1] if known else [generator.begin(w_plus)]
        partial = kept[-1]
        while partial.done < end:
            started = time.perf_counter()
            partial = generator.synthesise_from(partial, w_plus, partial.done + 1)
            if partial.done < len(generator.levels) and partial.done == len(kept) and _size(partial) <= KEPT_BYTES:
                kept.append(partial)
            _wait_for(partial)
            self._seconds[partial.done - 1] = time.perf_counter() - started
        self._kept, self._codes = kept, w_plus
        assert partial.image is not None
        return self._pictures(partial.image if until is not None else generator.preview(partial))[0]

    @torch.inference_mode()
    def tiles(self, w_plus: Tensor) -> Tensor:
        """Small pictures of w+ `[N, L, latent_dim]`: uint8 `[N, side, side, 3]`, at `TILE_SIDE` at most if smaller."""
        generator, started = self.model.generator, time.perf_counter()
        partial = generator.synthesise_from(generator.begin(w_plus), w_plus, self._tile_levels())
        assert partial.image is not None
        pictures = self._pictures(partial.image)
        self._tile_seconds = (time.perf_counter() - started) / len(w_plus)
        return pictures

    def tiles_at_once(self) -> int:
        """Small pictures that are drawn in the time for which a large one may wait."""
        each = self._tile_seconds or sum(self._seconds[: self._tile_levels()])
        return max(1, min(MOST_TILES, int(TILES_SECONDS / max(each, 1e-6))))

    def preview_levels(self, w_plus: Tensor, above: int = 0) -> int | None:
        """Levels of the preview of w+ that should be shown next.

        None if the whole picture is there soon, or if no preview shows enough of it in much less time.

        Args:
            w_plus: The code.
            above: Levels that are shown already.
        """
        known, end = self._known_levels(w_plus), len(self._seconds)
        if above > known or (whole := sum(self._seconds[known:])) <= SOON:  # maps that are too large are not kept
            return None
        useful = [level for level in range(known + 1, end) if self._shown[level - 1] >= ENOUGH]
        fast = [level for level in useful if sum(self._seconds[known:level]) <= SOON]
        if fast:
            return fast[-1]
        return next((level for level in useful if sum(self._seconds[known:level]) <= whole / 2), None)

    def _known_levels(self, w_plus: Tensor) -> int:
        """Levels of a code whose maps are kept."""
        shared = 0 if self._codes is None else shared_levels(self._codes, w_plus)
        return min(shared, max(0, len(self._kept) - 1))

    @torch.inference_mode()
    def _shares(self, w_plus: Tensor) -> list[float]:
        """How much of a picture the running image of each level shows: the slope of its deviations from the mean.

        The first levels of many models add next to nothing, so their running images are grey.
        """
        generator, images = self.model.generator, list[Tensor]()
        partial = generator.begin(w_plus)
        while partial.done < len(generator.levels):
            partial = generator.synthesise_from(partial, w_plus, partial.done + 1)
            image = generator.preview(partial).float()
            images.append((image - image.mean(dim=(2, 3), keepdim=True)).flatten())
        whole = images[-1]
        return [float(image @ whole / (whole @ whole).clamp_min(1e-12)) for image in images]

    def _tile_levels(self) -> int:
        sides = [min(2 * side, self.model.recipe.model.size) for side in self.model.recipe.model.resolutions]
        return next((level for level, side in enumerate(sides, 1) if side >= TILE_SIDE), len(sides))

    def _pictures(self, images: Tensor) -> Tensor:
        section = self.model.recipe.model
        return to_pictures(images, section.pixel_mean, section.pixel_std).cpu()


def _size(partial: Partial) -> int:
    return partial.x.numel() * partial.x.element_size()


def _wait_for(partial: Partial) -> None:
    """Wait for a GPU, so that times are those of the work."""
    if partial.x.device.type != "cpu":
        torch.accelerator.synchronize(partial.x.device)
