"""Frames as a folder of PNGs, which appears once all of them are there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from swincli.errors import DataError, from_os_error
from swincli.synthesis.figures.grids import save_png
from swincli.system.atomic_files import sync_folder

_NAME = re.compile(r"frame-\d{6,}\.png")


def check_frame_folder(folder: Path, *, force: bool) -> None:
    """Refuse to put frames where something else is.

    Raises:
        DataError: it is a file, it holds something else than frames, or it holds frames and `force` is not given.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder} is a file", "Choose another folder, or a name that ends in .mp4, .gif or .webp.")
    names = sorted(item.name for item in folder.iterdir())
    stranger = next((name for name in names if not _NAME.fullmatch(name)), None)
    if stranger is not None:
        raise DataError(f"{folder} is no folder of frames: it holds {stranger}", "Choose another one.")
    if names and not force:
        raise DataError(f"{folder} holds frames", "Replace them with --force, or choose another folder.")


@contextmanager
def writing_frames(folder: Path) -> Iterator[Callable[[Tensor], None]]:
    """Hand out what writes frames, uint8 `[H, W, 3]`, as frame-000000.png and so on.

    They are gathered under a hidden name; the folder gets its own when the block ends well, in place of older frames.

    Raises:
        DataError: what is there is no folder of frames.
        ResourceError: the folder cannot be written.
    """
    check_frame_folder(folder, force=True)
    real = folder.resolve()
    partial, replaced = (real.with_name(f".{real.name}.{kind}-{os.getpid()}") for kind in ("partial", "replaced"))
    count = 0

    def write(frame: Tensor) -> None:
        nonlocal count
        save_png(partial / f"frame-{count:06d}.png", frame)
        count += 1

    try:
        partial.mkdir(parents=True)
        yield write
        check_frame_folder(folder, force=True)
        if real.exists():
            real.rename(replaced)
        partial.rename(real)
        sync_folder(real.parent)
    except OSError as error:
        raise from_os_error(error, f"writing {folder}") from error
    finally:
        for remains in (partial, replaced):
            shutil.rmtree(remains, ignore_errors=True)
