"""Video frames as a folder of PNGs that appears when all frames are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from torch import Tensor

from swincli.data.images.digital_source import TRAINED
from swincli.data.store.staging import staged
from swincli.errors import DataError, from_os_error
from swincli.synthesis.output.image_writer import ImageWriter
from swincli.synthesis.output.provenance import encode_png

_NAME = re.compile(r"frame-\d{6,}\.png")


def check_frame_folder(folder: Path, *, force: bool) -> None:
    """Check that frames may be written to a folder.

    Raises:
        DataError: the path is a file; the folder holds other files than frames; or it holds frames and `force` is
            False.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder} is a file", "Choose another folder, or a name that ends in .mp4, .gif or .webp.")
    names = sorted(item.name for item in folder.iterdir())
    foreign = next((name for name in names if not _NAME.fullmatch(name)), None)
    if foreign is not None:
        raise DataError(f"{folder} is not a folder of frames: it holds {foreign}", "Choose another folder.")
    if names and not force:
        raise DataError(f"{folder} holds frames", "Replace them with --force, or choose another folder.")


@contextmanager
def writing_frames(folder: Path) -> Iterator[Callable[[Tensor], None]]:
    """Yield a function that writes frames, uint8 `[H, W, 3]`, as frame-000000.png, frame-000001.png, ...

    The frames are written to a hidden folder. It replaces `folder` when the block succeeds.

    Raises:
        DataError: `folder` holds other files than frames.
        ResourceError: the folder cannot be written.
    """
    count = 0

    def write(frame: Tensor) -> None:
        nonlocal count
        writer.add(partial_folder / f"frame-{count:06d}.png", partial(encode_png, frame, {}, TRAINED), frame.nbytes)
        count += 1

    try:
        with (
            staged(folder, force=True, check=partial(check_frame_folder, force=True)) as partial_folder,
            ImageWriter() as writer,
        ):
            yield write
    except OSError as error:
        raise from_os_error(error, f"writing {folder}") from error
