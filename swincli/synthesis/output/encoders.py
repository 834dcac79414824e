"""Frames as video by FFmpeg's libraries, as the pip package `av` (PyAV) brings them: H.264, GIF, animated WebP.

Frames go through one at a time, and none is kept: memory does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from swincli.errors import ResourceError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer
    from av.filter import Graph
    from av.video.stream import VideoStream

BT709, SRGB, LIMITED = 1, 13, 1  # codes of H.264 (ITU-T H.273, tables 2 to 4) for colours of a screen


@dataclass(frozen=True)
class Format:
    """A kind of video file.

    Attributes:
        container: What FFmpeg calls the file.
        encoder: What it calls the encoder.
        pixels: How the encoder takes pixels.
        begin: Makes, for a stream whose size is known, what turns an RGB frame into those that are encoded.
        settings: The encoder's settings for a quality from 1 to 100.
        fastest: Frames a second, at most.
        largest: Width or height in pixels, at most.
        options: The container's settings.
        multiple: Width and height are brought to a multiple of this, by repeating the last column and row.
    """

    container: str
    encoder: str
    pixels: str
    begin: Callable[[VideoStream, Fraction], Callable[[VideoFrame | None], Iterator[VideoFrame]]]
    settings: Callable[[int], dict[str, str]]
    fastest: float
    largest: int
    options: Mapping[str, str] = field(default_factory=dict)
    multiple: int = 1


class Encoder:
    """A video file that is being written; the first frame decides its size.

    Args:
        path: The file.
        form: A row of `FORMATS`.
        rate: Frames a second.
        quality: From 1 to 100.

    Attributes:
        count: Frames so far.
    """

    def __init__(self, path: Path, form: Format, rate: Fraction, quality: int) -> None:
        import av

        self._form, self._rate, self._quality = form, rate, quality
        self._container: OutputContainer = av.open(
            str(path), "w", format=form.container, container_options=dict(form.options)
        )
        self.count = 0

    def write(self, frame: Tensor) -> None:
        """Add one frame, uint8 `[H, W, 3]`."""
        from av import VideoFrame

        even = pad_to_multiple(frame, self._form.multiple)
        if not self.count:
            self._stream = self._add_stream(*even.shape[:2])
            self._convert = self._form.begin(self._stream, self._rate)
        picture = VideoFrame.from_ndarray(even.contiguous().numpy(), format="rgb24")
        picture.pts, picture.time_base = self.count, 1 / self._rate
        self.count += 1
        self._encode(picture)

    def finish(self) -> None:
        """Write what the encoder still holds back; there has been a frame."""
        self._encode(None)
        self._container.mux(self._stream.encode(None))

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _add_stream(self, height: int, width: int) -> VideoStream:
        from av.video.stream import VideoStream

        settings = self._form.settings(self._quality)
        stream = self._container.add_stream(self._form.encoder, rate=self._rate, options=settings)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, self._form.pixels
        return stream

    def _encode(self, picture: VideoFrame | None) -> None:
        from av.error import FFmpegError

        try:
            for converted in self._convert(picture):
                self._container.mux(self._stream.encode(converted))
        except FFmpegError as error:
            if isinstance(error, OSError):
                raise
            hint = "Choose another kind of video, or a folder for PNGs."
            raise ResourceError(f"{self._form.encoder} refuses these frames: {error}", hint) from error


def pad_to_multiple(frame: Tensor, multiple: int) -> Tensor:
    """uint8 `[H, W, 3]` with the last row and column repeated until height and width are multiples."""
    bottom, right = (-side % multiple for side in frame.shape[:2])
    if not bottom and not right:
        return frame
    padded = F.pad(frame.permute(2, 0, 1)[None].float(), (0, right, 0, bottom), mode="replicate")
    return padded[0].permute(1, 2, 0).to(frame.dtype)


def _begin_h264(stream: VideoStream, rate: Fraction) -> Callable[[VideoFrame | None], Iterator[VideoFrame]]:  # noqa: ARG001
    """Colours as BT.709 in the limited range, and tagged so: what players take a video for that says nothing."""
    from av.video.reformatter import ColorRange, Colorspace

    context = stream.codec_context
    context.colorspace, context.color_range = BT709, LIMITED
    context.color_primaries, context.color_trc = BT709, SRGB

    def convert(picture: VideoFrame | None) -> Iterator[VideoFrame]:
        if picture is not None:
            yield picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)

    return convert


def _begin_gif(stream: VideoStream, rate: Fraction) -> Callable[[VideoFrame | None], Iterator[VideoFrame]]:
    """A palette of 256 colours for every frame by itself; what a palette lacks is mixed from neighbouring pixels."""
    from av import VideoFormat
    from av.filter import Graph

    graph = Graph()
    pixels = VideoFormat("rgb24", stream.width, stream.height)
    source = graph.add_buffer(width=stream.width, height=stream.height, format=pixels, time_base=1 / rate)
    split, make = graph.add("split"), graph.add("palettegen", "stats_mode=single")
    use, sink = graph.add("paletteuse", "new=1"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(make, 0, 0)
    split.link_to(use, 1, 0)
    make.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()

    def convert(picture: VideoFrame | None) -> Iterator[VideoFrame]:
        graph.push(picture)
        yield from _ready(graph)

    return convert


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    from av import VideoFrame

    with suppress(BlockingIOError, EOFError):  # it waits for more, or there is no more
        while isinstance(picture := graph.pull(), VideoFrame):
            yield picture


def _begin_webp(stream: VideoStream, rate: Fraction) -> Callable[[VideoFrame | None], Iterator[VideoFrame]]:  # noqa: ARG001
    def convert(picture: VideoFrame | None) -> Iterator[VideoFrame]:
        if picture is not None:
            yield picture

    return convert


FORMATS: dict[str, Format] = {
    ".mp4": Format(
        "mp4",
        "libx264",
        "yuv420p",
        _begin_h264,
        lambda quality: {"crf": str(min(51, 10 + (100 - quality) // 2)), "preset": "medium"},
        fastest=240,
        largest=16_384,
        options={"movflags": "+faststart"},  # a browser shows it before all of it is there
        multiple=2,
    ),
    ".gif": Format("gif", "gif", "pal8", _begin_gif, lambda quality: {}, fastest=50, largest=65_535),  # noqa: ARG005
    ".webp": Format(
        "webp",
        "libwebp",
        "yuv420p",
        _begin_webp,
        lambda quality: {"quality": str(quality)},
        fastest=240,
        largest=16_383,
        options={"loop": "0"},
    ),
}
"""By the suffix of the file. GIF counts time in hundredths of a second, and players slow down below two of them."""
