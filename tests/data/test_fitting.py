from __future__ import annotations

from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from swincli.data import fitting
from swincli.data.entries import Entry
from swincli.data.fitting import Fit, Fitted, Oblong, fit, fit_all
from swincli.data.rejection import ImageError, Rejected
from swincli.data.sources import open_source
from swincli.errors import ResourceError

HOW = Fit(16, "center", "box")


def test_a_picture_is_cropped_and_resized(encode: Any, noise: Any) -> None:
    original = noise(48, 32)
    fitted = fit(encode(original), "x", HOW)
    assert isinstance(fitted, Fitted)
    assert fitted.pixels.shape == (16, 16, 3)
    assert fitted.pixels.dtype == np.uint8
    middle = np.asarray(original, float)[:, 8:40].reshape(16, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(fitted.pixels - middle).max() <= 1
    assert not fitted.upscaled


@pytest.mark.parametrize(("width", "height", "upscaled"), [(16, 16, False), (15, 40, True), (15, 15, True)])
def test_enlarging_is_noticed(width: int, height: int, upscaled: bool, encode: Any, noise: Any) -> None:
    fitted = fit(encode(noise(width, height)), "x", HOW)
    assert isinstance(fitted, Fitted)
    assert fitted.upscaled == upscaled


def test_without_cropping_only_squares_fit(encode: Any, noise: Any) -> None:
    how = Fit(16, "none", "box")
    assert fit(encode(noise(20, 30)), "x", how) == Oblong("x", 20, 30)
    assert isinstance(fit(encode(noise(20, 20)), "x", how), Fitted)


def test_rejections_keep_their_place(encode: Any, noise: Any) -> None:
    def refuse() -> bytes:
        raise ImageError("b", "cannot be read")

    good = encode(noise(16, 16))
    entries = [Entry("a", lambda: good), Entry("b", refuse), Entry("c", lambda: b"GIF89a"), Entry("d", lambda: good)]
    outcomes = list(fit_all(entries, HOW, 1))
    assert [type(outcome) for outcome in outcomes] == [Fitted, Rejected, Rejected, Fitted]
    assert outcomes[1] == Rejected("b", "cannot be read")


def test_processes_give_the_same_in_the_same_order(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (pictures / "about.txt").write_text("hello")
    entries = list(open_source(str(pictures))) * 3
    alone = list(fit_all(entries, HOW, 1))
    monkeypatch.setattr(fitting, "FEW", 0)
    together = list(fit_all(entries, HOW, 2))
    assert len(alone) == len(together) == 21
    for one, two in zip(alone, together, strict=True):
        if isinstance(one, Fitted):
            assert isinstance(two, Fitted)
            assert one.name == two.name
            assert np.array_equal(one.pixels, two.pixels)
        else:
            assert one == two


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


@pytest.mark.parametrize(("limit", "most"), [(10**9, 6), (1, 1), (2000, 3)])
def test_reading_ahead_is_bounded(
    limit: int, most: int, encode: Any, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(noise(17, 17)).ljust(999, b"\0")
    entries = [Entry(str(number), lambda: data) for number in range(20)]
    monkeypatch.setattr(fitting, "_PENDING_BYTES", limit)
    pool: Any = Pool()
    outcomes = list(fitting._fit_ahead(entries, HOW, pool, 6))
    assert [outcome.name for outcome in outcomes if isinstance(outcome, Fitted)] == [str(n) for n in range(20)]
    assert pool.most == most
    assert pool.waiting == 0


def test_a_process_that_dies_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "FEW", 0)
    monkeypatch.setattr(fitting, "_fit_ahead", Mock(side_effect=BrokenProcessPool))
    with pytest.raises(ResourceError, match="died, perhaps for want of memory") as caught:
        list(fit_all([Entry("a", lambda: b"")], HOW, 2))
    assert "--workers" in str(caught.value.hint)
