"""Words on pictures: the colours of a page, and Pillow's own font, which knows ASCII only."""

from __future__ import annotations

from PIL import ImageFont

PAGE, TEXT, QUIET = (16, 18, 24), (240, 242, 246), (152, 160, 174)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font(size: int) -> Font:
    """The font at a height in pixels."""
    return ImageFont.load_default(size)


def cut(text: str, letters: Font, width: int) -> str:
    """As much of a line as fits a width in pixels, its end replaced by dots where it is too long."""
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
