"""Videos: each format decodes to its frames, is written atomically, and keeps no frame in memory."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image
from torch import Tensor

from swincli.data.images.digital_source import TRAINED, generated_by
from swincli.errors import DataError, ResourceError, UsageError
from swincli.synthesis.output.encoders import pad_to_multiple
from swincli.synthesis.output.video import check_video, writing_video
from swincli.system.leftovers import host

KINDS = ["walk.mp4", "walk.gif", "walk.webp", "walk"]
TOLERANCE = {
    "walk.mp4": 4,
    "walk.gif": 1,
    "walk.webp": 4,
    "walk": 0,
}  # levels of 255; a wrong colour matrix or range gives over 10


def frames(count: int, height: int = 32, width: int = 48) -> Iterator[Tensor]:
    """Two flat colours; one moves from red to blue."""
    for index in range(count):
        share = index / max(count - 1, 1)
        frame = torch.zeros(height, width, 3, dtype=torch.uint8)
        frame[:] = torch.tensor([200 - 180 * share, 30, 20 + 180 * share]).to(torch.uint8)
        frame[height // 2 :] = torch.tensor([20, 180, 160], dtype=torch.uint8)
        yield frame


def write(path: Path, count: int, fps: float = 25, height: int = 32, width: int = 48) -> None:
    with writing_video(path, fps) as add:
        for frame in frames(count, height, width):
            add(frame)


def read(path: Path) -> np.ndarray:
    """All frames of a video, [N, H, W, 3]."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as file:
            colours = {"src_colorspace": Colorspace.ITU709, "src_color_range": ColorRange.MPEG}
            return np.stack([frame.reformat(format="rgb24", **colours).to_ndarray() for frame in file.decode(video=0)])
    if not path.suffix:
        return np.stack([np.asarray(Image.open(file)) for file in sorted(path.iterdir())])
    with Image.open(path) as file:
        return np.stack([seek(file, index) for index in range(file.n_frames)])  # type: ignore[attr-defined]


def seek(file: Image.Image, index: int) -> np.ndarray:
    file.seek(index)
    return np.asarray(file.convert("RGB"))


@pytest.mark.parametrize("name", KINDS)
def test_frames_come_back_in_their_order_and_colours(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, 12)
    found = read(tmp_path / name).astype(int)
    expected = np.stack([frame.numpy() for frame in frames(12)])
    assert found.shape == expected.shape
    for flat in (slice(0, 13), slice(19, 32)):  # mp4 and webp mix the colours at the edge between
        off = np.abs(found - expected)[:, flat].mean(axis=(1, 2))  # per frame and channel
        assert off.max() <= TOLERANCE[name]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    told = {path.suffix: generated_by(path.read_bytes()) for path in tmp_path.rglob("*.*")}
    assert told in ({".mp4": None}, {".gif": None}, {".webp": TRAINED}, {".png": TRAINED})


def test_an_mp4_says_what_its_colours_mean_and_plays_as_fast_as_asked(tmp_path: Path) -> None:
    write(tmp_path / "walk.mp4", 30, fps=29.97)
    with av.open(str(tmp_path / "walk.mp4")) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == pytest.approx(29.97)
        assert float(stream.duration * stream.time_base) == pytest.approx(30 / 29.97, abs=0.001)
        context = stream.codec_context
        assert (context.color_range, context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1, 13)


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp"])
def test_animations_take_their_time_and_repeat(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, 31, fps=30)
    with Image.open(tmp_path / name) as file:
        durations = []
        for index in range(file.n_frames):  # type: ignore[attr-defined]
            seek(file, index)
            durations.append(file.info["duration"])
        assert sum(durations) == pytest.approx(31 / 30 * 1000, abs=11)
        assert max(durations) <= 40
        assert file.info["loop"] == 0


@pytest.mark.parametrize("name", KINDS)
def test_odd_sizes(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, 3, height=33, width=47)
    height, width = (34, 48) if name == "walk.mp4" else (33, 47)
    assert read(tmp_path / name).shape == (3, height, width, 3)


def test_padding_repeats_the_last_row_and_column() -> None:
    frame = torch.randint(0, 256, (3, 5, 3), dtype=torch.uint8)
    padded = pad_to_multiple(frame, 2)
    assert padded.shape == (4, 6, 3)
    assert torch.equal(padded[:3, :5], frame)
    assert torch.equal(padded[3], padded[2])
    assert torch.equal(padded[:, 5], padded[:, 4])
    assert pad_to_multiple(padded, 2) is padded


@pytest.mark.parametrize("name", KINDS[:3])
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path, name: str) -> None:
    process, frame = psutil.Process(), torch.zeros(128, 128, 3, dtype=torch.uint8)
    with writing_video(tmp_path / name, 30) as add:
        for count in range(200):
            frame[count % 128] += 40
            add(frame.clone())
            if count == 80:  # encoders hold back some frames
                before = process.memory_info().rss
        grown = process.memory_info().rss - before
    assert grown < 120 * frame.numel() / 3


@pytest.mark.parametrize("name", KINDS)
def test_what_fails_leaves_nothing_and_what_was_there_alone(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, 2)
    before = read(tmp_path / name)

    def fail() -> None:
        with writing_video(tmp_path / name, 25) as add:
            for frame in frames(5):
                add(frame)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert np.array_equal(read(tmp_path / name), before)
    write(tmp_path / name, 3)
    assert len(read(tmp_path / name)) == 3


def test_a_video_of_no_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no frames"):
        write(tmp_path / "walk.mp4", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "letter.txt").touch()
    for force in (False, True):
        with pytest.raises(DataError, match=r"it holds letter\.txt"):
            check_video(tmp_path / "walk", 30, 8, 8, force=force)
    with pytest.raises(DataError, match=r"it holds letter\.txt"):
        write(tmp_path / "walk", 1)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_there_is_replaced_only_on_demand(tmp_path: Path, name: str) -> None:
    check_video(tmp_path / name, 30, 8, 8, force=False)
    write(tmp_path / name, 2)
    check_video(tmp_path / name, 30, 8, 8, force=True)
    with pytest.raises(DataError, match=f"{name}(: exists| holds frames)"):
        check_video(tmp_path / name, 30, 8, 8, force=False)


@pytest.mark.parametrize(
    ("name", "fps", "width", "message"),
    [
        ("walk.avi", 30, 8, r"\.avi is not a video format"),
        ("walk.gif", 60, 8, "60 frames per second; gif takes 0.01 to 50"),
        ("walk.mp4", 0.001, 8, "0.001 frames per second"),
        ("walk.mp4", float("nan"), 8, "nan frames per second"),
        ("walk.webp", 30, 16_384, "16384 x 8 px; webp takes up to 16,383"),
    ],
)
def test_what_no_video_can_be(tmp_path: Path, name: str, fps: float, width: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_video(tmp_path / name, fps, width, 8, force=False)


def test_a_missing_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(ResourceError, match="mp4 files: the package av is not installed") as caught:
        check_video(tmp_path / "walk.mp4", 30, 8, 8, force=False)
    assert 'pip install "swincli[video]"' in (caught.value.hint or "")
    check_video(tmp_path / "walk", 30, 8, 8, force=False)


def test_an_encoder_that_does_not_load_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "av.py").write_text('raise ImportError("libavcodec.so: no such file")')
    monkeypatch.delitem(sys.modules, "av")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ResourceError, match=r"gif files: the package av cannot be imported: libavcodec\.so: no such file"
    ):
        check_video(tmp_path / "walk.gif", 30, 8, 8, force=False)


@pytest.mark.parametrize("name", KINDS)
def test_a_place_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"writing .*file"):
        write(tmp_path / "file" / name, 1)


def test_frames_survive_a_folder_that_cannot_be_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "walk", 2)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ResourceError, match="permission denied"):
        write(tmp_path / "walk", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["walk"]
    assert len(read(tmp_path / "walk")) == 2


def test_frames_killed_between_the_renames_return_and_are_not_replaced(tmp_path: Path) -> None:
    write(tmp_path / "walk", 2)
    number = subprocess.Popen([sys.executable, "-S", "-c", ""])
    number.wait()
    (tmp_path / "walk").rename(tmp_path / f".walk.replaced-{host()}-{number.pid}")
    (tmp_path / f".walk.partial-{host()}-{number.pid}").mkdir()
    with pytest.raises(DataError, match="holds frames"):
        check_video(tmp_path / "walk", 30, 8, 8, force=False)
    assert len(read(tmp_path / "walk")) == 2
    write(tmp_path / "walk", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["walk"]
    assert len(read(tmp_path / "walk")) == 3
