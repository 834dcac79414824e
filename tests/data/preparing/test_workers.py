from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from swincli.data.images.crop_resize import Crop
from swincli.data.images.decode import decode
from swincli.data.images.rejected import ImageError
from swincli.data.preparing import workers
from swincli.data.preparing.seen import Seen
from swincli.data.preparing.workers import Fit, fit, fit_all
from swincli.data.sources import open_source
from swincli.data.sources.entries import Entry
from swincli.errors import ResourceError

HOW = Fit(16, "center", "box")


def test_a_picture_is_cropped_and_resized(encode: Any, noise: Any) -> None:
    original = noise(48, 32)
    data = encode(original)
    fitted = fit(data, "x", HOW)
    assert fitted.seen == Seen("x", len(data), hashlib.sha256(data).digest(), 48, 32, "RGB", "PNG")
    assert fitted.pixels is not None
    assert fitted.pixels.shape == (16, 16, 3)
    assert fitted.pixels.dtype == np.uint8
    middle = np.asarray(original, float)[:, 8:40].reshape(16, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(fitted.pixels - middle).max() <= 1
    assert fitted.encoded is None
    assert fitted.fingerprint is None


@pytest.mark.parametrize(("width", "height", "upscaled"), [(16, 16, False), (15, 40, True), (15, 15, True)])
def test_enlarging_is_noticed(width: int, height: int, upscaled: bool, encode: Any, noise: Any) -> None:
    assert fit(encode(noise(width, height)), "x", HOW).seen.upscaled == upscaled


def test_without_cropping_only_squares_fit(encode: Any, noise: Any) -> None:
    how = Fit(16, "none", "box")
    oblong = fit(encode(noise(20, 30)), "x", how)
    assert (oblong.pixels, oblong.seen.reason) == (None, "not square: 20 x 30 px")
    assert fit(encode(noise(20, 20)), "x", how).pixels is not None


@pytest.mark.parametrize(
    ("size", "crop", "kept"),
    [((30, 50), "center", True), ((29, 50), "center", False), ((29, 99), "none", False),
     ((50, 30), "center-wide", True), ((40, 29), "center-wide", False), ((30, 99), "center-wide", False)],
)  # fmt: skip
def test_what_would_stay_must_be_large_enough(
    size: tuple[int, int], crop: Crop, kept: bool, encode: Any, noise: Any
) -> None:
    seen = fit(encode(noise(*size)), "x", Fit(16, crop, min_size=30)).seen
    assert seen.reason == (None if kept else f"too small: {size[0]} x {size[1]} px")


def test_the_size_of_a_turned_picture_is_upright(encode: Any, noise: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = fit(encode(noise(48, 32), "JPEG", exif=exif.tobytes()), "x", HOW).seen
    assert (seen.width, seen.height, seen.kind) == (32, 48, "JPEG")


def test_an_encoded_file_and_a_fingerprint_come_along_when_asked_for(encode: Any, noise: Any) -> None:
    fitted = fit(encode(noise(48, 32)), "x", Fit(16, encoding="png", fingerprint=True))
    assert fitted.encoded is not None
    assert fitted.pixels is not None
    assert np.array_equal(decode(fitted.encoded, "x"), fitted.pixels)
    assert fitted.fingerprint is not None


def test_large_jpegs_are_shrunk_while_decoding_only_where_that_cannot_be_seen(encode: Any, noise: Any) -> None:
    smooth = noise(16, 20).resize((256, 320), Image.Resampling.BICUBIC)
    data = encode(smooth, "JPEG", quality=95)
    pixels = {
        (jpeg, gamma): fit(data, "x", Fit(16, jpeg=jpeg, gamma=gamma)).pixels
        for jpeg in ("fast", "exact")
        for gamma in ("srgb", "linear")
    }
    differences = np.abs(np.asarray(pixels["fast", "srgb"], int) - np.asarray(pixels["exact", "srgb"], int))
    assert 0 < differences.max() <= 6
    assert differences.mean() < 0.5
    assert np.array_equal(pixels["fast", "linear"], pixels["exact", "linear"])
    small, exact = (fit(data, "x", Fit(128, jpeg=jpeg)).pixels for jpeg in ("fast", "exact"))
    assert np.array_equal(small, exact)


def test_rejections_keep_their_place(encode: Any, noise: Any) -> None:
    def refuse() -> bytes:
        raise ImageError("b", "cannot be read")

    good = encode(noise(16, 16))
    entries = [Entry("a", lambda: good), Entry("b", refuse), Entry("c", lambda: b"GIF89a"), Entry("d", lambda: good)]
    outcomes = list(fit_all(entries, HOW, 1))
    assert [outcome.pixels is not None for outcome in outcomes] == [True, False, False, True]
    assert outcomes[1].seen == Seen("b", reason="cannot be read")
    assert outcomes[2].seen.size == 6


def test_processes_give_the_same_in_the_same_order(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (pictures / "about.txt").write_text("hello")
    entries = list(open_source(str(pictures))) * 3
    alone = list(fit_all(entries, HOW, 1))
    monkeypatch.setattr(workers, "FEW", 0)
    together = list(fit_all(entries, HOW, 2))
    assert len(alone) == len(together) == 21
    for one, two in zip(alone, together, strict=True):
        assert one.seen == two.seen
        assert np.array_equal(one.pixels, two.pixels)


class Pool:
    """Stands in for processes: counts what waits to be fetched."""

    def __init__(self) -> None:
        self.waiting = self.most = 0

    def submit(self, work: Callable[..., object], *arguments: object) -> Any:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return type("Task", (), {"result": lambda _: self._done(work, arguments)})()

    def _done(self, work: Callable[..., object], arguments: tuple[object, ...]) -> object:
        self.waiting -= 1
        return work(*arguments)


@pytest.mark.parametrize(("limit", "most"), [(10**9, 6), (1, 1), (2000, 2)])
def test_reading_ahead_is_bounded(
    limit: int, most: int, encode: Any, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(noise(17, 17)).ljust(999, b"\0")
    entries = [Entry(str(number), lambda: data) for number in range(20)]
    monkeypatch.setattr(workers, "_PENDING_BYTES", limit)
    monkeypatch.setattr(workers, "_TASK_FILES", 1)
    pool: Any = Pool()
    outcomes = list(workers._fit_ahead(entries, HOW, pool, 6))
    assert [outcome.seen.name for outcome in outcomes] == [str(n) for n in range(20)]
    assert pool.most == most
    assert pool.waiting == 0


@pytest.mark.parametrize(
    ("side", "limit", "tasks"),
    [(16, 10**9, [16, 4]), (256, 10**9, [5, 5, 5, 5]), (1024, 10**9, [1] * 20), (16, 2500, [3] * 6 + [2])],
)
def test_files_are_handed_over_together(
    side: int, limit: int, tasks: list[int], encode: Any, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(noise(17, 17)).ljust(999, b"\0")
    entries = [Entry(str(number), lambda: data) for number in range(20)]
    monkeypatch.setattr(workers, "_TASK_BYTES", limit)
    assert [len(files) for files in workers._tasks(entries, replace(HOW, resolution=side))] == tasks


def test_a_process_that_dies_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "FEW", 0)
    monkeypatch.setattr(workers, "_fit_ahead", Mock(side_effect=BrokenProcessPool))
    with pytest.raises(ResourceError, match="died, perhaps for want of memory") as caught:
        list(fit_all([Entry("a", lambda: b"")], HOW, 2))
    assert "--workers" in str(caught.value.hint)
