"""Image files with provenance notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from swincli.data.images.digital_source import COMPOSITE, TRAINED, generated_by
from swincli.errors import DataError
from swincli.synthesis.latents.files import Latents, write_latents
from swincli.synthesis.output.provenance import (
    NOTE,
    SUFFIXES,
    Output,
    is_made,
    missing,
    read_note,
    read_picture,
    save_image,
    save_png,
)

PICTURE = torch.arange(8 * 8 * 3, dtype=torch.uint8).reshape(8, 8, 3)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("note", ["seed=1 truncation=0.7", "class=dög  日本"])
def test_every_kind_of_image_carries_its_note(tmp_path: Path, suffix: str, note: str) -> None:
    output = Output(tmp_path / f"a{suffix}", note)
    save_image(output, PICTURE)
    assert read_note(output.path) == note
    with Image.open(output.path) as image:
        assert image.format == {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}[suffix]
        software = image.info.get("Software") or image.getexif()[0x0131]
        assert software.startswith("swincli ")
    distance = (read_picture(output.path).float() - PICTURE).abs().mean()
    assert distance <= (8 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("term", [TRAINED, COMPOSITE, None])
def test_images_say_that_a_trained_algorithm_made_them(tmp_path: Path, suffix: str, term: str | None) -> None:
    output = Output(tmp_path / f"a{suffix}", "seed=1", term)
    save_image(output, PICTURE)
    assert generated_by(output.path.read_bytes()) == term
    assert is_made(output)
    before = output.path.read_bytes()
    save_image(output, PICTURE)
    assert output.path.read_bytes() == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_an_older_version_without_that_is_still_done(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_image(Output(path, "seed=1", None), PICTURE)
    assert missing([Output(path, "seed=1")]) == []


def test_codes_carry_their_note_too(tmp_path: Path) -> None:
    write_latents(tmp_path / "a.npz", Latents("z", torch.zeros(1, 8)), {NOTE: "seed=1"})
    assert read_note(tmp_path / "a.npz") == "seed=1"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.npz", "a.zip"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x89PNG\r\n\x1a\n", b"PK\x05\x06"])
def test_what_was_not_written_here_has_no_note(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_note(tmp_path / name) is None
    assert read_note(tmp_path / "missing") is None
    assert read_note(tmp_path) is None


def test_only_what_is_missing_is_made_and_nothing_else_overwritten(tmp_path: Path) -> None:
    outputs = [Output(tmp_path / f"{name}.png", f"note {name}") for name in "abcb"]
    assert missing(outputs) == [0, 1, 2]
    save_image(outputs[1], PICTURE)
    assert is_made(outputs[1])
    assert missing(outputs) == [0, 2]
    assert missing(outputs, force=True) == [0, 1, 2]
    save_image(Output(outputs[2].path, "another note"), PICTURE)
    with pytest.raises(DataError, match=r"c\.png: exists, and was made with other settings$") as caught:
        missing(outputs)
    assert "--force" in (caught.value.hint or "")
    assert missing(outputs, force=True) == [0, 1, 2]
    (tmp_path / "a.png").mkdir()
    with pytest.raises(DataError, match=r"a\.png: exists, and was made with other settings, and 1 more"):
        missing(outputs)


def test_png_holds_pixels_and_notes(tmp_path: Path) -> None:
    picture = torch.randint(0, 256, (5, 7, 3), dtype=torch.uint8)
    save_png(tmp_path / "new folder" / "a.png", picture, {"swincli": "seed=1"})
    with Image.open(tmp_path / "new folder" / "a.png") as image:
        assert np.array_equal(np.asarray(image), picture.numpy())
        assert image.text["swincli"] == "seed=1"  # type: ignore[attr-defined]
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["a.png"]
