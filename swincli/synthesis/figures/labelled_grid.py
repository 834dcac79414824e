"""Pictures in a grid with words: a title, labels of rows and columns, and a caption under each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from swincli.synthesis.figures.text import PAGE, QUIET, TEXT, Font, cut, font

SMALLEST_TILE = 128  # smaller pictures are enlarged, so that words have room beside them
SMALLEST_LETTERS = 14
LETTERS_PER_TILE = 16  # heights of a line that a picture is high


@dataclass(frozen=True)
class Words:
    """What is written on a page of pictures; ASCII, since the font knows no more.

    Attributes:
        title: A line above everything.
        rows: One label a row, left of it.
        columns: One label a column, above it.
        captions: One a picture, below it.
    """

    title: str = ""
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    captions: Sequence[str] = ()


def label_pictures(pictures: Sequence[Tensor | None], columns: int, words: Words) -> Tensor:
    """Lay pictures in a grid and write labels around them.

    Args:
        pictures: uint8 `[H, W, 3]` each, all of one size, row by row; None leaves a place empty.
        columns: Pictures a row.
        words: The labels. What is too long for its picture is cut.

    Returns:
        uint8 `[H', W', 3]`. Pictures below 128 px are enlarged by a whole factor; letters grow with the pictures.
    """
    height, width = next(picture.shape[:2] for picture in pictures if picture is not None)
    scale = max(1, -(-SMALLEST_TILE // min(height, width)))
    page = _Page(columns, width * scale, height * scale, words)
    canvas = Image.new("RGB", page.size(-(-len(pictures) // columns)), PAGE)
    draw = ImageDraw.Draw(canvas)
    page.write(draw)
    for index, picture in enumerate(pictures):
        if picture is not None:
            tile = Image.fromarray(picture.numpy()).resize((page.width, page.height), Image.Resampling.NEAREST)
            canvas.paste(tile, page.place(index))
    return torch.from_numpy(np.array(canvas))


class _Page:
    """Where everything goes on a page of pictures `width` by `height`, as they are drawn."""

    def __init__(self, columns: int, width: int, height: int, words: Words) -> None:
        self.columns, self.width, self.height, self.words = columns, width, height, words
        letters = max(SMALLEST_LETTERS, min(width, height) // LETTERS_PER_TILE)
        self.font, self.title_font = font(letters), font(letters * 5 // 4)
        self.gap = max(2, letters // 5)
        self.margin, self.line = letters, letters * 8 // 5
        longest = max((self.font.getlength(text) for text in words.rows), default=-self.gap)
        self.left = self.margin + round(longest) + (letters if words.rows else self.gap)
        above = (self.line * 3 // 2 if words.title else 0) + (self.line if words.columns else 0)
        self.top = self.margin + above
        self.step = height + self.gap + (self.line if words.captions else 0)

    def size(self, rows: int) -> tuple[int, int]:
        """Width and height of the whole page; as wide as a title that is wider than the pictures needs it."""
        grid = self.left + self.columns * (self.width + self.gap) - self.gap + self.margin
        title = round(self.title_font.getlength(self.words.title)) + 2 * self.margin
        return max(grid, title), self.top + rows * self.step - self.gap + self.margin

    def place(self, index: int) -> tuple[int, int]:
        """Left and top of a picture."""
        row, column = divmod(index, self.columns)
        return self.left + column * (self.width + self.gap), self.top + row * self.step

    def write(self, draw: ImageDraw.ImageDraw) -> None:
        """Write all words."""
        if self.words.title:
            draw.text((self.margin, self.margin), self.words.title, TEXT, self.title_font)
        for index, text in enumerate(self.words.columns):
            left = self.place(index)[0]
            self._middle(draw, (left, self.top - self.line), text, self.font)
        for index, text in enumerate(self.words.rows):
            at = (self.margin, self.place(index * self.columns)[1] + self.height // 2)
            draw.text(at, text, TEXT, self.font, anchor="lm")
        for index, text in enumerate(self.words.captions):
            left, top = self.place(index)
            self._middle(draw, (left, top + self.height), text, self.font, QUIET)

    def _middle(
        self,
        draw: ImageDraw.ImageDraw,
        place: tuple[int, int],
        text: str,
        letters: Font,
        colour: tuple[int, int, int] = TEXT,
    ) -> None:
        """A line in the middle of a picture's width."""
        at = (place[0] + self.width / 2, place[1] + self.line / 2)
        draw.text(at, cut(text, letters, self.width), colour, letters, anchor="mm")
