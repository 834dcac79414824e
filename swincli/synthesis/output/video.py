"""Frames as a video that appears under its name once it is whole: .mp4, .gif, .webp, or a folder of PNGs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from swincli.errors import DataError, ResourceError, UsageError
from swincli.synthesis.output.encoders import FORMATS, Encoder, Format
from swincli.synthesis.output.frame_folder import check_frame_folder, writing_frames
from swincli.system.atomic_files import atomic_path

QUALITY = 85  # of 100
SLOWEST = 0.01  # frames a second
_LARGEST_DENOMINATOR = 1001  # of frames a second: 23.976 are 2997/125, and 59.94006 are 60000/1001
_HINT = 'Install it: pip install "swincli[video]", or give a folder, such as walk/, for PNGs.'

Write = Callable[[Tensor], None]


def check_video(path: Path, fps: float, width: int, height: int, *, force: bool) -> None:
    """Refuse, before any work is done, a video that could not be written.

    Args:
        path: Its suffix says what it will be: .mp4, .gif, .webp; none for a folder of PNGs.
        fps: Frames a second.
        width: Of the frames, in pixels.
        height: The same.
        force: Whether what is there may be replaced.

    Raises:
        UsageError: no such kind of video, or one that knows no so fast or so large frames.
        ResourceError: the encoder is missing.
        DataError: there is something at `path` that is not to be replaced.
    """
    form = _format_of(path)
    if form is None:
        check_frame_folder(path, force=force)
        return
    if not SLOWEST <= fps <= form.fastest:
        limits = f"{form.container} takes {SLOWEST:g} to {form.fastest:g}"
        raise UsageError(f"{path}: {fps:g} frames a second; {limits}", "Change --fps.")
    if max(width, height) > form.largest:
        raise UsageError(
            f"{path}: frames of {width} x {height} px; {form.container} takes up to {form.largest:,} px a side",
            "Choose a smaller --grid, or a folder for PNGs.",
        )
    _require_encoder(form)
    if path.exists() and (not force or not path.is_file()):
        raise DataError(f"{path} exists", "Replace it with --force, or choose another --out.")


@contextmanager
def writing_video(path: Path, fps: float, quality: int = QUALITY) -> Iterator[Write]:
    """Hand out what takes the frames of a video, uint8 `[H, W, 3]` on the CPU and all of one size, one at a time.

    The video appears at `path` when the block ends well, and not at all if it does not. Memory does not depend on the
    number of frames. Frames of odd width or height get their last column or row twice in an .mp4, which knows even
    sizes only.

    Args:
        path: .mp4 (H.264, 4:2:0, BT.709), .gif, .webp (both repeat for ever), or, without a suffix, a folder of
            frame-000000.png and so on, which replaces one of such files that is there.
        fps: Frames a second; means nothing to a folder.
        quality: Of .mp4 and .webp, from 1 to 100.

    Raises:
        UsageError: no such kind of video.
        ResourceError: the encoder is missing, or the file cannot be written.
        DataError: the folder holds something else than frames, or no frame was given.
    """
    form = _format_of(path)
    with writing_frames(path) if form is None else _encoded(path, form, fps, quality) as write:
        yield write


@contextmanager
def _encoded(path: Path, form: Format, fps: float, quality: int) -> Iterator[Write]:
    _require_encoder(form)
    rate = Fraction(fps).limit_denominator(_LARGEST_DENOMINATOR)
    with atomic_path(path) as temporary, ExitStack() as opened:
        encoder = Encoder(temporary, form, rate, quality)
        opened.callback(encoder.close)
        yield encoder.write
        if not encoder.count:
            raise DataError(f"{path}: a video of no frames")
        encoder.finish()


def _format_of(path: Path) -> Format | None:
    """None for a folder."""
    suffix = path.suffix.lower()
    if suffix and suffix not in FORMATS:
        raise UsageError(
            f"{path}: no kind of video ends in {path.suffix}",
            f"Choose {', '.join(FORMATS)}, or a folder, such as {path.with_suffix('')}/, for PNGs.",
        )
    return FORMATS.get(suffix)


def _require_encoder(form: Format) -> None:
    if importlib.util.find_spec("av") is None:
        raise ResourceError(f"the package av, which writes {form.container} files, is not installed", _HINT)
    try:
        import av
    except ImportError as error:
        message = f"the package av, which writes {form.container} files, does not load: {error}"
        raise ResourceError(message, _HINT) from error
    if form.encoder not in av.codecs_available:
        raise ResourceError(
            f"the package av {av.__version__} here has no encoder {form.encoder}",
            "Install the one of PyPI, which has it: pip install --force-reinstall --only-binary av av",
        )
