"""Trackers in general: what fails is named once and used no more, and the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from swincli.console import Console
from swincli.training.logging.trackers import Trackers

Capture = pytest.CaptureFixture[str]


class Notebook:
    """A tracker that remembers what it is sent, and fails in the method that it is told to fail in."""

    def __init__(self, name: str, fails_in: str = "") -> None:
        self.name, self.fails_in, self.got = name, fails_in, list[object]()

    def _take(self, method: str, *what: object) -> None:
        if method == self.fails_in:
            raise ConnectionError("no network")
        self.got.append((method, *what))

    def scalars(self, images_seen: int, values: Mapping[str, float]) -> None:
        self._take("scalars", images_seen, dict(values))

    def image(self, images_seen: int, tag: str, picture: Image.Image) -> None:
        self._take("image", images_seen, tag, picture.size)

    def text(self, images_seen: int, tag: str, content: str) -> None:
        self._take("text", images_seen, tag, content)

    def flush(self) -> None:
        self._take("flush")

    def close(self) -> None:
        self._take("close")


def use(trackers: Trackers, picture: Path) -> None:
    trackers.text(0, "recipe", "x = 1")
    trackers.image(0, "reals", picture)
    trackers.stats(8, {"images_seen": 8, "loss/d": 1.0, "g_lr": 2.0, "d_lr": 3.0, "seconds": 4, "sec_per_kimg": 5.0})
    trackers.metrics(8, {"fid": 6.0})
    trackers.close()


EVERYTHING = [
    ("text", 0, "recipe", "x = 1"),
    ("image", 0, "reals", (4, 3)),
    ("scalars", 8, {"loss/d": 1.0, "lr/g": 2.0, "lr/d": 3.0, "time/seconds": 4.0, "time/sec_per_kimg": 5.0}),
    ("scalars", 8, {"metric/fid": 6.0}),
    ("flush",),
    ("close",),
]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("L", (4, 3)).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def test_all_trackers_get_everything_in_groups(picture: Path, capsys: Capture) -> None:
    one, two = Notebook("One"), Notebook("Two")
    use(Trackers(Console(), [one, two]), picture)
    assert one.got == two.got == EVERYTHING
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("method", ["text", "image", "scalars", "flush", "close"])
def test_a_tracker_that_fails_is_named_once_and_the_others_go_on(method: str, picture: Path, capsys: Capture) -> None:
    broken, sound = Notebook("Broken", fails_in=method), Notebook("Sound")
    trackers = Trackers(Console(quiet=True), [broken, sound])
    use(trackers, picture)
    use(trackers, picture)
    assert sound.got == EVERYTHING
    assert broken.got == EVERYTHING[: [entry[0] for entry in EVERYTHING].index(method)]
    assert capsys.readouterr().err == "warning: Broken: logging stopped, training goes on: no network\n"


def test_a_picture_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    tracker = Notebook("One")
    Trackers(Console(), [tracker]).image(0, "reals", tmp_path / "missing.png")
    assert tracker.got == []


def test_a_picture_that_cannot_be_read_is_a_warning(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "no.png").write_text("no picture")
    tracker = Notebook("One")
    Trackers(Console(), [tracker]).image(0, "reals", tmp_path / "no.png")
    assert tracker.got == []
    assert capsys.readouterr().err.startswith(f"warning: {tmp_path / 'no.png'}: not sent to the trackers: ")


def test_without_trackers_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no picture")
    use(Trackers(Console()), tmp_path / "no.png")
