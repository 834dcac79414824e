"""Images are written by a thread while others are drawn, synced once, and never half-written under their names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from swincli.errors import ResourceError
from swincli.synthesis.output import image_writer
from swincli.synthesis.output.frame_folder import writing_frames
from swincli.synthesis.output.image_writer import ImageWriter
from swincli.synthesis.output.provenance import Output, encode_image, is_made
from swincli.system import atomic_files
from swincli.system.leftovers import hidden_beside

PICTURE = torch.arange(8 * 8 * 3, dtype=torch.uint8).reshape(8, 8, 3)


def outputs(folder: Path, count: int = 9) -> list[Output]:
    return [Output(folder / f"{number}.png", f"note {number}") for number in range(count)]


def write(writer: ImageWriter, files: list[Output]) -> None:
    for output in files:
        writer.add(output.path, partial(encode_image, output, PICTURE), PICTURE.nbytes)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of every sync."""
    seen: list[str] = []
    monkeypatch.setattr(atomic_files.os, "fsync", lambda _: seen.append("file"))
    monkeypatch.setattr(image_writer, "sync_all", lambda: seen.append("all"))
    return seen


@pytest.mark.skipif(not hasattr(os, "sync"), reason="each file is synced here")
def test_one_sync_for_all_images_and_frames(tmp_path: Path, syncs: list[str]) -> None:
    with ImageWriter() as writer:
        write(writer, outputs(tmp_path))
    assert all(map(is_made, outputs(tmp_path)))
    assert syncs == ["all"]
    with writing_frames(tmp_path / "frames") as write_frame:
        for _ in range(9):
            write_frame(PICTURE)
    assert syncs.count("all") == 2
    assert syncs.count("file") <= 2  # of the two folders
    assert len(list((tmp_path / "frames").iterdir())) == 9


def test_drawing_goes_on_while_files_are_written(tmp_path: Path) -> None:
    drawn, encoding = threading.Event(), threading.Event()

    def encode() -> bytes:
        encoding.set()
        assert drawn.wait(10)
        return b"late"

    with ImageWriter() as writer:
        writer.add(tmp_path / "a", encode, 4)
        assert encoding.wait(10)
        assert not (tmp_path / "a").exists()
        drawn.set()
    assert (tmp_path / "a").read_bytes() == b"late"


def test_no_more_wait_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_writer, "ROOM", 3 * PICTURE.nbytes)
    with ImageWriter() as writer:
        for output in outputs(tmp_path, 20):
            writer.add(output.path, partial(encode_image, output, PICTURE), PICTURE.nbytes)
            assert len(writer._waiting) <= 3
    assert len(list(tmp_path.iterdir())) == 20


def test_after_an_error_no_later_file_is_written(tmp_path: Path) -> None:
    files = outputs(tmp_path)
    hidden_beside(files[4].path, "partial").mkdir()
    with pytest.raises(ResourceError, match=r"writing .*4\.png"), ImageWriter() as writer:
        write(writer, files)
    assert [is_made(output) for output in files] == [True] * 4 + [False] * 5


def test_what_was_drawn_before_an_interrupt_is_written(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ImageWriter() as writer:
            write(writer, outputs(tmp_path))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(map(is_made, outputs(tmp_path)))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("encode", "write"))]


ENDLESS = """
import sys
from functools import partial
from itertools import count
from pathlib import Path
import torch
from swincli.synthesis.output.image_writer import ImageWriter
from swincli.synthesis.output.provenance import Output, encode_image
picture = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8)
with ImageWriter() as writer:
    for number in count():
        output = Output(Path(sys.argv[1]) / f"{number}.png", f"note {number}")
        writer.add(output.path, partial(encode_image, output, picture), picture.nbytes)
"""


@pytest.mark.slow  # PyTorch is imported three times
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_kill_leaves_whole_files(tmp_path: Path) -> None:
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(folder)], env={**os.environ})
        while len(list(folder.glob("*.png"))) < 20 * (attempt + 1):
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in folder.glob("*.png"):
            assert is_made(Output(path, f"note {path.stem}"))
            with Image.open(path) as image:
                image.load()
