"""Video encoding with PyAV (FFmpeg's libraries; pip package `av`): H.264, GIF, animated WebP.

Frames are encoded one at a time and not kept: memory does not grow with the number of frames.
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

BT709, SRGB, LIMITED = 1, 13, 1  # colour codes of H.264 (ITU-T H.273, tables 2 to 4)


@dataclass(frozen=True)
class VideoFormat:
    """A video file format.

    Attributes:
        container: FFmpeg's name of the container.
        encoder: FFmpeg's name of the encoder.
        pixels: Pixel format of the encoder.
        begin: Makes the function that converts an RGB frame into frames to encode; called when the stream's size is
            known.
        settings: Encoder settings for a quality from 1 to 100.
        max_fps: Highest frame rate.
        max_side: Largest width or height in pixels.
        options: Container settings.
        multiple: Width and height are padded to a multiple of this by repeating the last column and row.
    """

    container: str
    encoder: str
    pixels: str
    begin: Callable[[VideoStream, Fraction], Callable[[VideoFrame | None], Iterator[VideoFrame]]]
    settings: Callable[[int], dict[str, str]]
    max_fps: float
    max_side: int
    options: Mapping[str, str] = field(default_factory=dict)
    multiple: int = 1


class VideoEncoder:
    """A video file open for writing; the first frame decides its size.

    Args:
        path: The file.
        form: A row of `FORMATS`.
        rate: Frames per second.
        quality: 1 to 100.

    Attributes:
        count: Number of frames written.
    """

    def __init__(self, path: Path, form: VideoFormat, rate: Fraction, quality: int) -> None:
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
        """Flush the encoder; call it only after at least one frame."""
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
            hint = "Choose another video format, or give a folder to write PNGs."
            raise ResourceError(f"{self._form.encoder} refuses these frames: {error}", hint) from error


def pad_to_multiple(frame: Tensor, multiple: int) -> Tensor:
    """Pad uint8 `[H, W, 3]` to multiples in height and width by repeating the last row and column."""
    bottom, right = (-side % multiple for side in frame.shape[:2])
    if not bottom and not right:
        return frame
    padded = F.pad(frame.permute(2, 0, 1)[None].float(), (0, right, 0, bottom), mode="replicate")
    return padded[0].permute(1, 2, 0).to(frame.dtype)


def _begin_h264(stream: VideoStream, rate: Fraction) -> Callable[[VideoFrame | None], Iterator[VideoFrame]]:  # noqa: ARG001
    """BT.709 colours in limited range, and tagged as such: players assume this for untagged video."""
    from av.video.reformatter import ColorRange, Colorspace

    context = stream.codec_context
    context.colorspace, context.color_range = BT709, LIMITED
    context.color_primaries, context.color_trc = BT709, SRGB

    def convert(picture: VideoFrame | None) -> Iterator[VideoFrame]:
        if picture is not None:
            yield picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)

    return convert


def _begin_gif(stream: VideoStream, rate: Fraction) -> Callable[[VideoFrame | None], Iterator[VideoFrame]]:
    """One palette of 256 colours per frame, with dithering."""
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

    with suppress(BlockingIOError, EOFError):  # the graph waits for more frames, or has ended
        while isinstance(picture := graph.pull(), VideoFrame):
            yield picture


def _begin_webp(stream: VideoStream, rate: Fraction) -> Callable[[VideoFrame | None], Iterator[VideoFrame]]:  # noqa: ARG001
    def convert(picture: VideoFrame | None) -> Iterator[VideoFrame]:
        if picture is not None:
            yield picture

    return convert


FORMATS: dict[str, VideoFormat] = {
    ".mp4": VideoFormat(
        "mp4",
        "libx264",
        "yuv420p",
        _begin_h264,
        lambda quality: {"crf": str(min(51, 10 + (100 - quality) // 2)), "preset": "medium"},
        max_fps=240,
        max_side=16_384,
        options={"movflags": "+faststart"},  # a browser can start playing during the download
        multiple=2,
    ),
    ".gif": VideoFormat("gif", "gif", "pal8", _begin_gif, lambda quality: {}, max_fps=50, max_side=65_535),  # noqa: ARG005
    ".webp": VideoFormat(
        "webp",
        "libwebp",
        "yuv420p",
        _begin_webp,
        lambda quality: {"quality": str(quality)},
        max_fps=240,
        max_side=16_383,
        options={"loop": "0"},
    ),
}
"""Video formats by file suffix. GIF stores delays in 1/100 s, and players slow down delays below 2/100 s."""
