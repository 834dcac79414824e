"""Pictures of any format become targets, with warnings about losses."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import GifImagePlugin, Image

from swincli.errors import DataError, UsageError
from swincli.projection.targets import read_targets


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    channels = len(mode)
    values = np.random.default_rng(seed).integers(0, 255, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values.squeeze(), mode)


def read(*texts: Path, crop: str = "center") -> tuple[list, list[str]]:
    told: list[str] = []
    return read_targets([str(text) for text in texts], 16, crop, told.append), told  # type: ignore[arg-type]


def test_any_format_and_size(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg", "c.webp", "d.bmp", "e.tiff"):
        picture(40, 30).save(tmp_path / name)
    targets, told = read(*sorted(tmp_path.iterdir()))
    assert [target.stem for target in targets] == list("abcde")
    assert {tuple(target.picture.shape) for target in targets} == {(16, 16, 3)}
    assert told == []
    assert len({target.digest for target in targets}) >= 3  # compression changes some


def test_alpha_animation_and_enlarging_are_told(tmp_path: Path) -> None:
    picture(20, 20, "RGBA").save(tmp_path / "clear.png")
    opaque = picture(20, 20, "RGBA")
    opaque.putalpha(255)
    opaque.save(tmp_path / "opaque.png")
    frames = [picture(20, 20, seed=seed) for seed in range(3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    picture(10, 12).save(tmp_path / "small.png")
    _, told = read(*(tmp_path / name for name in ("clear.png", "opaque.png", "moving.gif", "small.png")))
    assert told == [
        f"{tmp_path}/clear.png: has transparent pixels; placed on white",
        f"{tmp_path}/moving.gif: 3 frames; only the first is projected",
        f"{tmp_path}/small.png: 10 x 12 px, enlarged to the model's 16 px",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty file"), (b"hello", "not an image"), (b"\x89PNG\r\n\x1a\n" + b"x" * 30, "damaged"), (None, "no such")],
)
def test_what_is_no_picture_is_an_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "file.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in caught.value.message


def test_a_truncated_picture_is_an_error(tmp_path: Path) -> None:
    picture(40, 40).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut.png: damaged"):
        read(tmp_path / "cut.png")


def damaged_later(path: Path, kind: str) -> Path:
    """Three frames, of which those after the first are damaged."""
    frames = [picture(20, 20, seed=seed) for seed in range(3)]
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    data = path.read_bytes()
    if kind == "GIF":
        second = data.index(b"\x21\xf9", data.index(b"\x21\xf9") + 2)
        path.write_bytes(data[: data.index(b",", second) + 5])
    elif kind == "TIFF":
        with Image.open(path) as image:
            after_first = image._TiffImageFile__next  # type: ignore[attr-defined]
        path.write_bytes(data[:after_first] + b"\xff" * 200)
    else:
        second = data.rindex(b"fcTL")
        path.write_bytes(data[:second] + data[second : second + 4] + b"\xff" * 30)
    return path


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG"])
def test_a_damaged_later_frame_is_an_error_that_names_the_file(kind: str, tmp_path: Path) -> None:
    path = damaged_later(tmp_path / "moving.file", kind)
    with pytest.raises(DataError, match=r"moving\.file: damaged"):
        read(path)


@pytest.mark.parametrize("error", [IndexError, TypeError, KeyError, OSError, EOFError, SyntaxError, ValueError])
def test_whatever_a_decoder_raises_for_later_frames_is_put_into_words(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [picture(20, 20, seed=seed) for seed in range(3)]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in/moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "in/still.png")

    def fail(_: object) -> int:
        raise error("deep inside")

    monkeypatch.setattr(GifImagePlugin.GifImageFile, "n_frames", property(fail))
    with pytest.raises(DataError, match=r"moving\.gif: damaged: a frame after the first cannot be read"):
        read(tmp_path / "in/moving.gif")
    targets, told = read(tmp_path / "in")
    assert [target.stem for target in targets] == ["still"]
    assert told == [f"{tmp_path}/in/moving.gif: damaged: a frame after the first cannot be read; skipped"]


def test_a_folder_gives_its_pictures_and_tells_of_the_rest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture(20, 20).save(tmp_path / "in" / "a.png")
    picture(20, 20).save(tmp_path / "b.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    targets, told = read(tmp_path)
    assert [target.stem for target in targets] == ["b", "in-a"]
    assert len(told) == 1
    assert "notes.txt: not an image" in told[0]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("not a picture")
    with pytest.raises(DataError, match="none of its files"):
        read(tmp_path / "empty")


def test_cropping_nothing_takes_squares_only(tmp_path: Path) -> None:
    picture(20, 20).save(tmp_path / "square.png")
    picture(20, 24).save(tmp_path / "tall.png")
    assert len(read(tmp_path / "square.png", crop="none")[0]) == 1
    with pytest.raises(DataError, match="not square: 20 x 24"):
        read(tmp_path / "tall.png", crop="none")


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        picture(20, 20).save(tmp_path / folder / "a.png")
    with pytest.raises(UsageError, match=r"a\.npz"):
        read(tmp_path / "one" / "a.png", tmp_path / "two" / "a.png")


def test_a_colon_in_a_name_leads_to_no_other_drive(tmp_path: Path) -> None:
    picture(16, 16).save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "C:evil.png")
        archive.write(tmp_path / "a.png", "d/C:/other.png")
    targets, _ = read(tmp_path / "in.zip")
    assert [target.stem for target in targets] == ["C-evil", "d-C--other"]
