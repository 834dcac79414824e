"""Image grids with a title, row and column labels and captions; font and colours of all figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

BACKGROUND, TEXT, MUTED = (16, 18, 24), (240, 242, 246), (152, 160, 174)  # colours
MIN_TILE = 128  # pixels; smaller images are enlarged, so that the labels fit
MIN_FONT_SIZE = 14
LINES_PER_TILE = 16  # height of an image, in lines of text

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class GridLabels:
    """Text of a labelled grid; ASCII, as Pillow's built-in font has no more.

    Attributes:
        title: A line above the grid.
        rows: One label per row, on its left.
        columns: One label per column, above it.
        captions: One per image, below it.
    """

    title: str = ""
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    captions: Sequence[str] = ()


def draw_labelled_grid(pictures: Sequence[Tensor | None], columns: int, labels: GridLabels) -> Tensor:
    """Draw images in a grid with labels around them.

    Args:
        pictures: uint8 `[H, W, 3]` each, all of one size, row by row; None leaves a place empty.
        columns: Images per row.
        labels: Column labels and captions are cut to the width of an image.

    Returns:
        uint8 `[H', W', 3]`. Images below 128 px are enlarged by an integer factor. The font grows with the images.
    """
    height, width = next(picture.shape[:2] for picture in pictures if picture is not None)
    scale = max(1, -(-MIN_TILE // min(height, width)))
    layout = _Layout(columns, width * scale, height * scale, labels)
    canvas = Image.new("RGB", layout.size(-(-len(pictures) // columns)), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    layout.draw_labels(draw)
    for index, picture in enumerate(pictures):
        if picture is not None:
            tile = Image.fromarray(picture.numpy()).resize((layout.width, layout.height), Image.Resampling.NEAREST)
            canvas.paste(tile, layout.position(index))
    return torch.from_numpy(np.array(canvas))


class _Layout:
    """Positions of the images and labels of a grid; `width` and `height` of a drawn image are in pixels."""

    def __init__(self, columns: int, width: int, height: int, labels: GridLabels) -> None:
        self.columns, self.width, self.height, self.labels = columns, width, height, labels
        font_size = max(MIN_FONT_SIZE, min(width, height) // LINES_PER_TILE)
        self.font, self.title_font = load_font(font_size), load_font(font_size * 5 // 4)
        self.gap = max(2, font_size // 5)
        self.margin, self.line = font_size, font_size * 8 // 5
        longest = max((self.font.getlength(text) for text in labels.rows), default=-self.gap)
        self.left = self.margin + round(longest) + (font_size if labels.rows else self.gap)
        above = (self.line * 3 // 2 if labels.title else 0) + (self.line if labels.columns else 0)
        self.top = self.margin + above
        self.step = height + self.gap + (self.line if labels.captions else 0)

    def size(self, rows: int) -> tuple[int, int]:
        """Width and height of the figure; wide enough for the title."""
        grid = self.left + self.columns * (self.width + self.gap) - self.gap + self.margin
        title = round(self.title_font.getlength(self.labels.title)) + 2 * self.margin
        return max(grid, title), self.top + rows * self.step - self.gap + self.margin

    def position(self, index: int) -> tuple[int, int]:
        """Left and top of an image."""
        row, column = divmod(index, self.columns)
        return self.left + column * (self.width + self.gap), self.top + row * self.step

    def draw_labels(self, draw: ImageDraw.ImageDraw) -> None:
        """Draw all text."""
        if self.labels.title:
            draw.text((self.margin, self.margin), self.labels.title, TEXT, self.title_font)
        for index, text in enumerate(self.labels.columns):
            left = self.position(index)[0]
            self._draw_centred(draw, (left, self.top - self.line), text)
        for index, text in enumerate(self.labels.rows):
            at = (self.margin, self.position(index * self.columns)[1] + self.height // 2)
            draw.text(at, text, TEXT, self.font, anchor="lm")
        for index, text in enumerate(self.labels.captions):
            left, top = self.position(index)
            self._draw_centred(draw, (left, top + self.height), text, MUTED)

    def _draw_centred(
        self, draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: tuple[int, int, int] = TEXT
    ) -> None:
        """Draw one line centred on an image's width; `place` is its left and top."""
        at = (place[0] + self.width / 2, place[1] + self.line / 2)
        draw.text(at, fit_text(text, self.font, self.width), colour, self.font, anchor="mm")


def load_font(size: int) -> Font:
    """Pillow's built-in font at a height in pixels."""
    return ImageFont.load_default(size)


def fit_text(text: str, font: Font, width: int) -> str:
    """Cut a line to a width in pixels; "..." replaces the end if it is too long."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def signed(offset: float) -> str:
    """The label of a step: "+1.5", "-3" or "0"."""
    return "0" if abs(offset) < 1e-9 else f"{offset:+.3g}"
