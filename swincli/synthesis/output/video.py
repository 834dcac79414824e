"""Video files (.mp4, .gif, .webp) and folders of PNG frames, written frame by frame."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from swincli.data.images.digital_source import TRAINED, add_to_webp
from swincli.data.store.staging import clear_leftovers
from swincli.errors import DataError, ResourceError, UsageError
from swincli.synthesis.output.encoders import FORMATS, VideoEncoder, VideoFormat
from swincli.synthesis.output.frame_folder import check_frame_folder, writing_frames
from swincli.system.atomic_files import atomic_path
from swincli.system.overwrite import check_overwrite
from swincli.system.packages import missing_package

QUALITY = 85  # of 100
MIN_FPS = 0.01
_MAX_DENOMINATOR = 1001  # of the frame rate: 23.976 is 2997/125, 59.94006 is 60000/1001
_FOLDER = "; or give a folder, such as walk/, to write PNGs"

Write = Callable[[Tensor], None]


def check_video(path: Path, fps: float, width: int, height: int, *, force: bool) -> None:
    """Check that a video can be written, before any work is done.

    Args:
        path: The suffix decides the format: .mp4, .gif, .webp; no suffix for a folder of PNGs.
        fps: Frames per second.
        width: Frame width in pixels.
        height: Frame height in pixels.
        force: Whether an existing file may be replaced.

    Raises:
        UsageError: unknown suffix, or the format does not allow this frame rate or size.
        ResourceError: the encoder is missing.
        DataError: `path` exists and must not be replaced.
    """
    form = _format_of(path)
    if form is None:
        clear_leftovers(path.resolve())
        check_frame_folder(path, force=force)
        return
    if not MIN_FPS <= fps <= form.max_fps:
        limits = f"{form.container} takes {MIN_FPS:g} to {form.max_fps:g}"
        raise UsageError(f"{path}: {fps:g} frames per second; {limits}", "Change --fps.")
    if max(width, height) > form.max_side:
        raise UsageError(
            f"{path}: frames of {width} x {height} px; {form.container} takes up to {form.max_side:,} px a side",
            "Choose a smaller --grid, or give a folder to write PNGs.",
        )
    _require_encoder(form)
    check_overwrite([path], force=force, reason="exists", hint="Replace it with --force, or choose another --out.")


@contextmanager
def writing_video(path: Path, fps: float, quality: int = QUALITY) -> Iterator[Write]:
    """Yield a function that adds one frame, uint8 `[H, W, 3]` on the CPU; all frames have the same size.

    The video appears at `path` when the block succeeds, and not at all when it fails. Memory does not grow with the
    number of frames. An .mp4 needs even sizes: an odd width or height repeats the last column or row.

    Args:
        path: .mp4 (H.264, 4:2:0, BT.709), .gif or .webp (both loop forever). Without a suffix: a folder of
            frame-000000.png, ...; it replaces an earlier folder of frames.
        fps: Frames per second; ignored for a folder.
        quality: 1 to 100, for .mp4 and .webp.

    Raises:
        UsageError: unknown suffix.
        ResourceError: the encoder is missing, or the file cannot be written.
        DataError: the folder holds other files than frames, or no frame was added.
    """
    form = _format_of(path)
    with writing_frames(path) if form is None else _encoded(path, form, fps, quality) as write:
        yield write


@contextmanager
def _encoded(path: Path, form: VideoFormat, fps: float, quality: int) -> Iterator[Write]:
    _require_encoder(form)
    rate = Fraction(fps).limit_denominator(_MAX_DENOMINATOR)
    with atomic_path(path) as temporary:
        with ExitStack() as opened:
            encoder = VideoEncoder(temporary, form, rate, quality)
            opened.callback(encoder.close)
            yield encoder.write
            if not encoder.count:
                raise DataError(f"{path}: no frames to write")
            encoder.finish()
        if form.container == "webp":
            add_to_webp(temporary, TRAINED)


def _format_of(path: Path) -> VideoFormat | None:
    """The video format of a suffix; None for a folder of PNGs."""
    suffix = path.suffix.lower()
    if suffix and suffix not in FORMATS:
        raise UsageError(
            f"{path}: {path.suffix} is not a video format",
            f"Choose {', '.join(FORMATS)}, or a folder, such as {path.with_suffix('')}/, to write PNGs.",
        )
    return FORMATS.get(suffix)


def _require_encoder(form: VideoFormat) -> None:
    what = f"{form.container} files"
    if importlib.util.find_spec("av") is None:
        raise missing_package(what, "av", "video", otherwise=_FOLDER)
    try:
        import av
    except ImportError as error:
        hint = f"Install it again: pip install --force-reinstall av{_FOLDER}"
        raise ResourceError(f"{what}: the package av cannot be imported: {error}", hint) from error
    if form.encoder not in av.codecs_available:
        raise ResourceError(
            f"the installed package av {av.__version__} has no encoder {form.encoder}",
            "Install the build from PyPI, which has it: pip install --force-reinstall --only-binary av av",
        )
