"""The live view and the plain line, at the sizes that terminals have."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console as RichConsole

from swincli.training.logging.live_view import LiveView, MemoryUse, RunStatus, status_line

GIB = 2**30
MEMORY = {"cpu": MemoryUse(3 * GIB), "gpu": MemoryUse(61 * GIB, 80 * GIB)}
STATUS = RunStatus(
    run="runs/faces",
    images_seen=12_345_600,
    total=25_000_000,
    seconds_per_image=0.0123,
    until={"to the end": 155_000.0, "next save": 1_600.0, "next metric": 61.0},
    scalars=("loss/d", "loss/g", "loss/r1", "loss/bcr", "loss/tv", "d/real_accuracy", "d/fake_accuracy", "grad/d"),
    means={"loss/d": 1.2346, "loss/g": 0.8, "loss/r1": 12345.6, "d/real_accuracy": 0.614, "grad/d": 1.5},
    steps=64,
    rates=(5e-5, 1.88e-4),
    trained=151_845.0,
    session=3_600.0,
    metrics={"fid": "5.31 at 12.20M", "best fid": "5.02 at 11.80M"},
    notes={"processes": "8", "precision": "bf16"},
)
EVERYTHING = (
    "runs/faces", "49.4%", "12,345,600 of 25M images", "12,345.60", "12.3", "1d 19h", "26m 40s", "1m 01s", "1d 18h",
    "64 steps", "1.235", "0.800", "1.23e+04", "61%", "5.00e-05", "1.88e-04",
    "CPU", "3.0 GiB", "GPU", "61.0 of 80.0 GiB", "5.31 at 12.20M", "5.02 at 11.80M", "processes", "bf16",
)  # fmt: skip


def draw(width: int, height: int, facts: RunStatus = STATUS) -> list[str]:
    screen = io.StringIO()
    console = RichConsole(file=screen, force_terminal=True, color_system=None, width=width, height=height)
    console.print(LiveView(facts, MEMORY))
    return screen.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(200, 50), (120, 30), (100, 24), (80, 24), (80, 18), (60, 40), (40, 60)])
def test_everything_is_there_and_fits(width: int, height: int) -> None:
    lines = draw(width, height)
    text = "\n".join(lines)
    missing = [words for words in EVERYTHING if words not in text]
    assert missing == []
    assert max(map(len, lines)) <= max(1, width - 2)
    assert len(lines) < height
    assert not any("…" in text for text in lines[2:])


@pytest.mark.parametrize(("width", "height"), [(80, 10), (40, 8), (25, 60), (20, 5), (10, 3), (1, 2)])
def test_a_very_small_terminal_gets_two_lines(width: int, height: int) -> None:
    lines = draw(width, height)
    assert len(lines) == 2
    assert max(map(len, lines)) <= max(1, width - 2)


def test_columns_do_not_move_when_values_come() -> None:
    unknown = replace(STATUS, seconds_per_image=None, until={"to the end": None}, means={}, steps=0)
    before = draw(100, 30, replace(unknown, until=dict.fromkeys(STATUS.until)))
    assert len(before) == len(draw(100, 30))
    text = "\n".join(before)
    assert re.search(r"sec/kimg +- ", text)
    assert re.search(r"loss D +- ", text)


def test_signs_of_overfitting_have_rows() -> None:
    means = {"augment/p": 0.25, "augment/r": 0.617, "d/trained_logit": 1.5, "d/held_out_logit": -0.5}
    text = "\n".join(draw(120, 40, replace(STATUS, scalars=(*STATUS.scalars, *means), means={**STATUS.means, **means})))
    for words in (r"augment p +0\.250 ", r"augment r_t +0\.617 ", r"D\(trained\) +1\.500 ", r"D\(held out\) +-0\.500 "):
        assert re.search(words, text)


def test_times_are_counted_down_to_the_next_facts_and_no_further() -> None:
    later = replace(STATUS, at=STATUS.at - 100, ahead=60.5, until={"to the end": 200.0})
    assert "2m 20s" in "\n".join(draw(100, 30, later))


def test_a_pause_is_named() -> None:
    assert re.search(r"now +measuring ", "\n".join(draw(100, 30, replace(STATUS, doing="measuring"))))


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        (MemoryUse(3 * GIB), "3.0 GiB"),
        (MemoryUse(512 * 2**20, 80 * GIB), "512.0 MiB of 80.0 GiB"),
        (MemoryUse(GIB, 80 * GIB), "1.0 of 80.0 GiB"),
    ],
)
def test_memory_in_words(memory: MemoryUse, words: str) -> None:
    assert str(memory) == words


def test_the_plain_line_has_fixed_fields() -> None:
    assert status_line(STATUS, MEMORY) == (
        "kimg 12345.6 (49%)  sec/kimg 12.3  ETA 1d 19h  D 1.235  G 0.800  R1 1.23e+04  D(real)>0 0.614  "
        "memory CPU 3.0 GiB, GPU 61.0 GiB  fid 5.31 at 12.20M  best fid 5.02 at 11.80M"
    )
    scalars = (*STATUS.scalars, "augment/p", "augment/r", "d/trained_logit", "d/held_out_logit")
    few = replace(STATUS, scalars=scalars, means={**STATUS.means, "augment/p": 0.25, "d/held_out_logit": -0.5})
    assert "  R1 1.23e+04  p 0.250  r_t -  D(held out) -0.500  D(real)>0 0.614  " in status_line(few, MEMORY)
    fresh = replace(STATUS, seconds_per_image=None, until={}, means={}, metrics={})
    assert status_line(fresh, {"cpu": MemoryUse(GIB)}) == (
        "kimg 12345.6 (49%)  sec/kimg -  ETA -  D -  G -  R1 -  D(real)>0 -  memory CPU 1.0 GiB"
    )
