"""Attention figures: heatmaps over the image, with the outlines of the windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.model.pixels import to_pictures
from swincli.synthesis.attention_maps import AttentionMap, Layer, record_attention
from swincli.synthesis.figures.labelled_grid import BACKGROUND, MUTED, TEXT, load_font
from swincli.synthesis.latents.classes import class_caption
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.truncation import NO_TRUNCATION, Truncation

MIN_PANEL = 512  # pixels
MARGIN, GAP, CAPTION, LEGEND = 28, 20, 34, 58  # pixels
REGULAR, SHIFTED = (70, 190, 255), (255, 105, 205)  # distinct for colour-blind readers, and not heatmap colours
HEAT = np.array([(24, 16, 40), (110, 16, 70), (205, 45, 30), (252, 140, 20), (255, 225, 90), (255, 255, 235)], float)
UNDER_HEAT, OUTSIDE = 0.42, 0.34  # brightness of the image: under the heatmap, and outside the windows

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]


def attention_page(
    model: Model,
    seed: int,
    layers: Sequence[Layer],
    points: Sequence[tuple[int, int]],
    *,
    truncation: Truncation = NO_TRUNCATION,
    labels: Tensor | None = None,
) -> Pixels:
    """Draw the attention of some query pixels of a seed's image at some layers: uint8 `[H, W, 3]`."""
    section = model.recipe.model
    codes = codes_of_seeds(model, [seed], truncation, labels)
    image, maps = record_attention(model.generator, codes, layers, points)
    picture = to_pictures(image, section.pixel_mean, section.pixel_std)[0].cpu().numpy()
    title = f"Attention in the image of seed {seed}"
    if labels is not None and model.classes is not None:
        title += f", {class_caption(model, int(labels[0]))}"
    notes = f"{model.path.name}  ·  {model.images_seen:,} images  ·  truncation {truncation.strength:g}"
    return draw_attention(picture, points, maps, title, notes)


def draw_attention(
    picture: Pixels, points: Sequence[tuple[int, int]], maps: Sequence[Sequence[AttentionMap]], title: str, notes: str
) -> Pixels:
    """Draw one row per point and layer: the image with its windows, then a heatmap per group of heads.

    Args:
        picture: The image, uint8 `[size, size, 3]`.
        points: Query pixels of the image, (from the left, from the top).
        maps: A list per (point, layer), point by point, of one map per group of heads; see `record_attention`.
        title: First line of the figure.
        notes: Second line.

    Returns:
        uint8 `[H, W, 3]`.
    """
    size = len(picture)
    scale = -(-MIN_PANEL // size)
    side = size * scale
    layers = len(maps) // len(points)
    groups = max(len(row) for row in maps)
    width = 2 * MARGIN + (1 + groups) * side + groups * GAP
    top, row_height = 2 * MARGIN + 64, 2 * CAPTION + side + LEGEND + GAP
    page = Image.new("RGB", (width, top + len(maps) * row_height), BACKGROUND)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 4), title, TEXT, load_font(34))
    draw.text((MARGIN, MARGIN + 42), notes, MUTED, load_font(20))
    for index, row in enumerate(maps):
        place = (MARGIN, top + index * row_height)
        _draw_row(page, place, picture, scale, points[index // layers], row)
    return np.array(page)


def _draw_row(
    page: Image.Image,
    place: tuple[int, int],
    picture: Pixels,
    scale: int,
    point: tuple[int, int],
    maps: Sequence[AttentionMap],
) -> None:
    """Draw one point at one layer, with captions and colour bar."""
    draw, (left, top), side = ImageDraw.Draw(page), place, len(picture) * scale
    panels, legend = top + 2 * CAPTION, top + 2 * CAPTION + side
    draw.text((left, top), _query_caption(maps[0], point), TEXT, load_font(24))
    draw.text((left, top + CAPTION), _windows_caption(maps), MUTED, load_font(20))
    page.paste(_windows_panel(picture, scale, point, maps), (left, panels))
    cell = len(picture) // maps[0].layer.resolution
    draw.text((left, legend + 12), f"a cell of the map: {cell} x {cell} px of the image", MUTED, load_font(18))
    x = left
    for one in maps:
        x += side + GAP
        draw.text((x, top + CAPTION), _map_caption(one), window_colour(one), load_font(20))
        page.paste(_heatmap_panel(picture, scale, point, one, _max_weight(maps)), (x, panels))
    _draw_colour_bar(draw, (left + side + GAP, x + side, legend), maps)


def _query_caption(one: AttentionMap, point: tuple[int, int]) -> str:
    layer = one.layer
    return f"{layer.resolution} px layer, block {layer.block}  ·  looking from pixel {point[0]}, {point[1]}"


def _windows_caption(maps: Sequence[AttentionMap]) -> str:
    if not _windowed(maps[0]):
        return "the image: every position sees all of it"
    return "the image, bright where either half reaches" if len(maps) > 1 else "the image, bright where it reaches"


def _map_caption(one: AttentionMap) -> str:
    heads = f"heads {one.heads[0]}-{one.heads[1]}" if one.heads[0] != one.heads[1] else f"head {one.heads[0]}"
    if not _windowed(one):
        return f"whole map  ·  {heads}"
    return f"{'shifted' if one.shift else 'regular'} windows of {one.side} x {one.side}  ·  {heads}"


def _max_weight(maps: Sequence[AttentionMap]) -> float:
    return max(float(one.weights.max()) for one in maps)


def _windowed(one: AttentionMap) -> bool:
    return one.side < one.layer.resolution


def window_colour(one: AttentionMap) -> Colour:
    """Colour of the windows of a group of heads."""
    return SHIFTED if one.shift else REGULAR


def heat_colours(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colormap: values from 0 to 1 `[...]` -> RGB `[..., 3]`, from dark over red and orange to white."""
    stops = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(values, stops, HEAT[:, channel]) for channel in range(3)], axis=-1)


def heat_values(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colormap values of weights divided by the maximum: the square root, so that one peak does not hide the rest."""
    return np.sqrt(shares)


def blend_heat(grey: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blend a heatmap over grey, `[H, W] -> [H, W, 3]`; opacity grows with the value, from 0.55 to 0.98."""
    opacity = (0.55 + 0.43 * values)[..., None]
    return grey[..., None] * (1 - opacity) + heat_colours(values) * opacity


def _windows_panel(picture: Pixels, scale: int, point: tuple[int, int], maps: Sequence[AttentionMap]) -> Image.Image:
    """The image, darkened outside the windows, with each window outlined."""
    resolution = maps[0].layer.resolution
    inside = np.zeros((resolution, resolution), bool)
    for one in maps:
        left, top, right, bottom = one.window
        inside[top:bottom, left:right] = True
    bright = np.where(_enlarge(inside, len(picture) * scale), 1.0, OUTSIDE)
    panel = Image.fromarray((_enlarge(picture, len(picture) * scale) * bright[..., None]).astype(np.uint8))
    draw = ImageDraw.Draw(panel)
    for one in maps:
        _outline(draw, _scaled(one.window, panel.width, resolution), window_colour(one), 4)
    _mark(draw, point, scale)
    return panel


def _heatmap_panel(
    picture: Pixels, scale: int, point: tuple[int, int], one: AttentionMap, highest: float
) -> Image.Image:
    """A heatmap inside the query's window over a dark grey image, and the borders of all windows."""
    side, resolution = len(picture) * scale, one.layer.resolution
    grey = _enlarge(picture, side) @ np.array([0.299, 0.587, 0.114])
    left, top, right, bottom = _scaled(one.window, side, resolution)
    pixels = np.repeat(grey[..., None] * OUTSIDE, 3, axis=-1)
    heat = _enlarge(heat_values(one.weights.double().numpy() / highest), side)
    inside = np.s_[top:bottom, left:right]
    pixels[inside] = blend_heat(grey[inside] * UNDER_HEAT, heat[inside])
    panel = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(panel)
    for border in range(one.shift or one.side, resolution, one.side):
        at = border * side // resolution
        draw.line((at, 0, at, side), (112, 118, 130))
        draw.line((0, at, side, at), (112, 118, 130))
    _outline(draw, (left, top, right, bottom), window_colour(one), 4)
    _mark(draw, point, scale)
    return panel


def _draw_colour_bar(draw: ImageDraw.ImageDraw, place: tuple[int, int, int], maps: Sequence[AttentionMap]) -> None:
    """Draw the colour bar of a row, from 0 to the row's maximum weight; ticks mark the weight of uniform attention."""
    (left, right, above), highest = place, _max_weight(maps)
    top, length = above + 16, right - left
    colours = blend_heat(np.full((1, length), 96 * UNDER_HEAT), np.linspace(0, 1, length)[None])[0]
    for offset, colour in enumerate(colours):
        draw.line((left + offset, top, left + offset, top + 16), tuple(int(channel) for channel in colour))
    areas = [(one.window[2] - one.window[0]) * (one.window[3] - one.window[1]) for one in maps]
    evens = sorted({1 / area for area in areas})
    words = "even spread " + ", ".join(f"{even:.2%}" for even in evens)
    ticks = [left + round(float(heat_values(np.array(even / highest))) * (length - 2)) for even in evens]
    for tick in ticks:
        draw.line((tick, top - 4, tick, top + 20), TEXT, 2)
    below, most = top + 22, f"{highest:.2%} of the group's attention"
    draw.text((left, below), "0", MUTED, load_font(18))
    if right - ticks[0] > 620:
        draw.text((max(ticks[0], left + 24), below), words, TEXT, load_font(18))
        draw.text((right, below), most, MUTED, load_font(18), anchor="ra")
    else:
        draw.text((right, below), f"{words}  ·  highest {most}", MUTED, load_font(18), anchor="ra")


def _mark(draw: ImageDraw.ImageDraw, point: tuple[int, int], scale: int) -> None:
    """Draw a ring around the centre of the query pixel."""
    x, y = ((place + 0.5) * scale for place in point)
    for radius, colour, width in ((13, (0, 0, 0), 6), (12, (255, 255, 255), 3)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)


def _outline(draw: ImageDraw.ImageDraw, box: Box, colour: Colour, width: int) -> None:
    draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=colour, width=width)


def _scaled(window: Box, side: int, resolution: int) -> Box:
    left, top, right, bottom = (edge * side // resolution for edge in window)
    return left, top, right, bottom


def _enlarge(values: NDArray[np.generic], side: int) -> NDArray[np.float64]:
    """Nearest-neighbour upsampling `[h, h, ...] -> [side, side, ...]`, float64."""
    factor = side // len(values)
    return values.repeat(factor, axis=0).repeat(factor, axis=1).astype(np.float64)
