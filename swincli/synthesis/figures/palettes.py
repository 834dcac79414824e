"""Figures of edits: strips along one direction, and palettes of two."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from swincli.synthesis.figures.labelled_grid import GridLabels, draw_labelled_grid, signed
from swincli.synthesis.latents.edits import Editor
from swincli.synthesis.sampling import render_all, sampling_batch

UNITS = "steps in standard deviations"


def edit_offsets(steps: int, reach: float) -> list[float]:
    """Offsets of a row of images, from -reach to reach."""
    return [round(offset, 9) for offset in torch.linspace(-reach, reach, steps, dtype=torch.float64).tolist()]


def palette_page(
    editor: Editor,
    code: Tensor,
    offsets: Sequence[float],
    caption: str,
    batch: int | None = None,
    preview: int | None = None,
) -> Tensor:
    """Draw one w+ `[L, latent_dim]` moved along two directions: columns along the first, rows along the second.

    `preview` as in `render_all`.

    Returns:
        uint8 `[H, W, 3]`.
    """
    across, down = editor.directions
    steps = torch.tensor([[x, y] for y in reversed(offsets) for x in offsets], dtype=torch.float64)
    labels = GridLabels(
        title=f"{caption}: {across.name} to the right, {down.name} upwards; {UNITS}",
        rows=[f"{down.name} {signed(offset)}" for offset in reversed(offsets)],
        columns=[f"{across.name} {signed(offset)}" for offset in offsets],
    )
    return draw_labelled_grid(draw_moved(editor, code[None], steps, batch, preview), len(offsets), labels)


def strip_page(
    editor: Editor, codes: Tensor, offsets: Sequence[float], rows: Sequence[str], title: str, batch: int | None = None
) -> Tensor:
    """Draw several w+ `[N, L, latent_dim]`, each moved along the one direction: a row an image, uint8 `[H, W, 3]`."""
    steps = torch.tensor(offsets, dtype=torch.float64)[:, None]
    labels = GridLabels(title=title, rows=rows, columns=[signed(offset) for offset in offsets])
    return draw_labelled_grid(draw_moved(editor, codes, steps, batch), len(offsets), labels)


def draw_moved(
    editor: Editor, codes: Tensor, steps: Tensor, batch: int | None = None, preview: int | None = None
) -> list[Tensor]:
    """Images of w+ `[N, L, latent_dim]`, each moved by every row of `steps` `[S, K]`: N * S images, image by image."""
    repeated = codes.repeat_interleave(len(steps), dim=0)
    moved = editor.move(repeated, steps.repeat(len(codes), 1))
    size = batch or sampling_batch(editor.model.recipe.model, editor.model.device)
    return [picture for images in render_all(editor.model, moved.split(size), preview=preview) for picture in images]
