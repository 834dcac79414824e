"""Console: results on stdout, messages on stderr, progress with and without a terminal."""

from __future__ import annotations

import io
import json
import math
import re
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console as RichConsole
from rich.table import Table

import swincli
from swincli import console as module
from swincli.console import Console

Capture = pytest.CaptureFixture[str]
ODD = "a:cat:b [bold]x[/] [0] C:\\folder\\"


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.mark.parametrize("text", [ODD, "a very long line " * 30 + "ends"])
def test_what_is_said_arrives_as_it_is(text: str, capsys: Capture) -> None:
    console = Console()
    console.say(text)
    console.warn(text)
    console.error(text, text)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [text, f"warning: {text}", f"error: {text}", "", f"hint: {text}"]


def test_an_error_without_a_hint_is_one_line(capsys: Capture) -> None:
    Console().error("broken")
    assert capsys.readouterr().err == "error: broken\n"


def test_quiet_leaves_warnings_and_errors(capsys: Capture) -> None:
    console = Console(quiet=True)
    console.say("chatter")
    console.show(Table("chatter"))
    with console.progress("Reading", 10) as advance:
        advance()
    console.warn("careful")
    console.error("broken")
    assert capsys.readouterr().err == "warning: careful\nerror: broken\n"


def test_tables_go_to_stderr(capsys: Capture) -> None:
    table = Table("name")
    table.add_row("wide")
    Console().show(table)
    out, err = capsys.readouterr()
    assert out == ""
    assert "wide" in err


def test_results_are_lines(capsys: Capture) -> None:
    Console().emit({"path": "x"}, ["one", ODD])
    assert capsys.readouterr() == (f"one\n{ODD}\n", "")


def test_results_are_one_object_with_json(capsys: Capture) -> None:
    data = {"path": "ä/😀.png", "rejected": [{"source": ODD, "reason": "\n"}], "images": 3}
    Console(json_mode=True, quiet=True).emit(data, ["one"])
    out, err = capsys.readouterr()
    assert json.loads(out) == data
    assert out.count("\n") == 1
    assert err == ""


def test_json_has_no_word_for_infinity(capsys: Capture) -> None:
    Console(json_mode=True).emit({"metrics": {"fid": math.nan, "psnr": (math.inf, 1.5)}}, [])

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == {"metrics": {"fid": None, "psnr": [None, 1.5]}}


def test_progress_off_a_terminal_is_a_line_now_and_then(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    with Console().progress("Reading", 2_000) as advance:
        advance(0)
        advance(1_500)
    with Console().progress("Writing", None, "files") as advance:
        advance()
        advance()
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("Reading: 1,500 of 2,000 images, ")
    assert re.search(r"images, [\d,]+\.\d images/s, .* left$", lines[0])
    assert lines[1:] == ["Writing: 1 files", "Writing: 2 files"]


def test_progress_off_a_terminal_is_silent_when_quick(capsys: Capture) -> None:
    with Console().progress("Reading", 10) as advance:
        advance(10)
    assert capsys.readouterr().err == ""


def test_progress_on_a_terminal_is_a_bar() -> None:
    console = Console()
    screen = io.StringIO()
    console.stderr = RichConsole(file=screen, force_terminal=True, width=100)
    assert console.live
    with console.progress("Reading", 4) as advance:
        advance()
        time.sleep(0.01)
        advance(3)
    assert "4/4" in screen.getvalue()
    assert re.search(r"images +[\d,]+\.\d images/s", screen.getvalue())


def test_a_bar_is_updated_no_more_often_than_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    console, screen, asked = Console(), io.StringIO(), Mock(return_value="loss 1")
    console.stderr = RichConsole(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(module, "LIVE_SECONDS", math.inf)
    with console.progress("Reading", 1000, status=asked) as advance:
        for _ in range(1000):
            advance()
    assert asked.call_count == 2  # at the first and at the end
    assert "1000/1000" in screen.getvalue()
    assert "loss 1" in screen.getvalue()


def test_quiet_is_never_live() -> None:
    console = Console(quiet=True)
    console.stderr = RichConsole(file=io.StringIO(), force_terminal=True)
    assert not console.live


def test_progress_has_titles_in_words() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(swincli.__file__).parent.rglob("*.py")]
    titles = [title for text in sources for title in re.findall(r'\.progress\(f?"([^"]+)"', text)]
    assert len(titles) > 10
    assert [title for title in titles if re.search(r"[a-z][A-Z]|_", re.sub(r"\{[^}]*\}", "", title))] == []
