"""The video of walks side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from swincli.console import Advance
from swincli.model.files.model_file import Model
from swincli.synthesis.output.video import QUALITY, writing_video
from swincli.synthesis.walk.walks import Walk, frames_of, images_along


def write_walk(
    model: Model,
    walks: Sequence[Walk],
    times: Tensor,
    out: Path,
    *,
    batch: int,
    fps: float,
    quality: int = QUALITY,
    grid: tuple[int, int] = (1, 1),
    enlarge: int = 1,
    advance: Advance,
    look: Callable[[Tensor], None] | None = None,
) -> None:
    """Write the frames of walks to a video.

    Args:
        model: A model from `load_model`.
        walks: One per cell of the grid.
        times: Times of the frames, float64 `[N]`.
        out: The video, see `writing_video`.
        batch: Images per forward pass.
        fps: Frames per second.
        quality: 1 to 100.
        grid: Columns and rows of walks.
        enlarge: Each pixel is drawn as so many by so many.
        advance: Called after each frame.
        look: Called with each batch of images in the network's pixel range, `[B * W, 3, size, size]`, time by time.

    Raises:
        SwincliError: see `writing_video`.
    """
    with writing_video(out, fps, quality) as write:
        for images in images_along(model, walks, times, batch):
            if look is not None:
                look(images)
            for frame in frames_of(model, images, grid, enlarge):
                write(frame)
                advance()
