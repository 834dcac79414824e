from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.main import get_command

from swincli.commands import app as module
from swincli.commands.app import app, run
from swincli.commands.typer_command import boundary
from swincli.errors import DataError, RecipeError
from swincli.version import __version__

Capture = pytest.CaptureFixture[str]
# Typer may load pydantic to read an option, but none of our models may be built for it.
HEAVY = (
    *("torch", "torchvision", "numpy", "PIL", "pywt", "scipy", "rich.progress"),
    *("swincli.recipe.schema", "swincli.data.preparing.prepare"),
)


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)


# Starting


def test_help_loads_neither_torch_nor_pydantic_nor_numpy() -> None:
    probe = """
import sys
from pathlib import Path
from swincli.commands.app import run
run(["--help"])
sys.stderr.write(" ".join(name for name in ("torch", "pydantic", "numpy") if name in sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert "prepare-data" in result.stdout
    assert result.stderr == ""


def test_help_of_every_command_loads_nothing_heavy() -> None:
    probe = f"""
import sys, typer
from swincli.commands.app import app, run
def walk(command, words):
    assert run([*words, "--help"]) == 0
    for name, child in getattr(command, "commands", {{}}).items():
        walk(child, [*words, name])
walk(typer.main.get_command(app), [])
sys.stderr.write(" ".join(name for name in {HEAVY!r} if name in sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    printed = " ".join(result.stdout.split())
    assert "Usage: swincli recipe schema" in printed
    assert "--resolution" in printed
    assert result.stderr == ""


def test_it_starts_as_a_module() -> None:
    result = subprocess.run([sys.executable, "-m", "swincli", "--version"], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == (f"swincli {__version__}\n", "")


def test_version(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr() == (f"swincli {__version__}\n", "")


def _help_texts(command: Any) -> Iterator[str]:
    """The help, examples and meanings of options of a command and of its subcommands."""
    yield from filter(None, [command.help, command.epilog, *(getattr(one, "help", "") for one in command.params)])
    for child in getattr(command, "commands", {}).values():
        yield from _help_texts(child)


def test_help_keeps_words_in_brackets() -> None:
    """Rich takes words in brackets for markup, such as those of `swincli[hub]`, and drops them."""
    for text in _help_texts(get_command(app)):
        assert Text.from_markup(text).plain == re.sub(r"\[(bold|/)\]", "", text)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["recipe", "--help"], ["recipe", "show", "-h"]])
def test_help_is_success(arguments: list[str], capsys: Capture) -> None:
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert "Usage: swincli" in out
    assert err == ""


@pytest.mark.parametrize("arguments", [[], ["recipe"]])
def test_no_command_shows_the_help_and_is_wrong_use(arguments: list[str], capsys: Capture) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert "Usage: swincli" in out
    assert err == ""


# Wrong command lines


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["bogus"], "no such command 'bogus'", "Run `swincli --help`."),
        (["recipe", "lst"], "no such command 'lst'. Did you mean 'list'?", "Run `swincli recipe --help`."),
        (["recipe", "show"], "missing argument 'NAME'", "Run `swincli recipe show --help`."),
        (["recipe", "show", "a", "b"], "got unexpected extra argument", "Run `swincli recipe show --help`."),
        (["recipe", "list", "--jsn"], "no such option: --jsn", "Run `swincli recipe list --help`."),
        (["recipe", "show", "a", "--resolve"], "--resolved", "Run `swincli recipe show --help`."),
        (["--bogus"], "no such option: --bogus", "Run `swincli --help`."),
    ],
)
def test_wrong_use_is_an_error_like_every_other(arguments: list[str], error: str, hint: str, capsys: Capture) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, empty, last = err.splitlines()
    assert first.startswith("error: ")
    assert error in first
    assert empty == ""
    assert last == f"hint: {hint}"


# The error boundary


def fail(error: BaseException, *, debug: bool = False) -> int:
    """The exit code of the boundary for an error in its block."""
    with pytest.raises(typer.Exit) as caught, boundary(json_mode=True, quiet=True, debug=debug):
        raise error
    return int(caught.value.exit_code)


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (DataError("a.png: damaged", "Leave it out."), 1, "error: a.png: damaged\n\nhint: Leave it out.\n"),
        (DataError("a.png: damaged"), 1, "error: a.png: damaged\n"),
        (RecipeError("a.toml", ["x: y"]), 2, "error: a.toml: x: y\n"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), 1, "error: a.png: No such file or directory\n"),
        (OSError("odd"), 1, "error: swincli: odd\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (ValueError("bad [b]"), 1, "error: unexpected ValueError: bad [b]\n\nhint: Run it again with --debug.\n"),
    ],
)
def test_errors_get_words_and_an_exit_code(error: BaseException, code: int, printed: str, capsys: Capture) -> None:
    assert fail(error) == code
    assert capsys.readouterr() == ("", printed)


def test_a_full_disk_is_named(capsys: Capture) -> None:
    assert fail(OSError(28, "No space left on device", "runs/a")) == 1
    assert "error: runs/a: no space left on the disk" in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys: Capture) -> None:
    assert fail(DataError("a.png: damaged", "Leave it out."), debug=True) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" in err
    assert err.endswith("error: a.png: damaged\n\nhint: Leave it out.\n")


def test_debug_lets_a_bug_through() -> None:
    with pytest.raises(ZeroDivisionError), boundary(json_mode=False, quiet=False, debug=True):
        raise ZeroDivisionError


def test_exits_of_the_body_stay() -> None:
    with pytest.raises(typer.Exit) as caught, boundary(json_mode=False, quiet=False, debug=False):
        raise typer.Exit(7)
    assert caught.value.exit_code == 7
    with pytest.raises(typer.BadParameter), boundary(json_mode=False, quiet=False, debug=False):
        raise typer.BadParameter("x")


def test_the_boundary_hands_out_the_console() -> None:
    with boundary(json_mode=True, quiet=True, debug=False) as console:
        assert (console.json_mode, console.quiet) == (True, True)


def test_an_answer_to_a_question_may_be_no(monkeypatch: pytest.MonkeyPatch) -> None:
    def abort(*_: object, **__: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(module, "_root_command", lambda: abort)
    assert run([]) == 130


# The process


def test_main_ends_the_process_with_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "argv", ["swincli", "bogus"])
    with pytest.raises(SystemExit) as caught:
        module.main()
    assert caught.value.code == 2
    assert "bogus" in capsys.readouterr().err


def test_main_bears_a_stdout_that_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["swincli", "--version"])
    monkeypatch.setattr(sys, "stdout", screen)
    with pytest.raises(SystemExit) as caught:
        module.main()
    assert (caught.value.code, screen.getvalue()) == (0, f"swincli {__version__}\n")


def test_a_reader_that_has_gone_makes_no_noise() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "swincli", "recipe", "schema"]
    try:
        result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


# Where stdout goes


def test_a_closed_stdout_ends_like_a_broken_pipe_when_the_work_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # what `swincli ... >&-` gives
    assert run(["recipe", "list"]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_under_stdout_is_called_by_its_name(options: list[str]) -> None:
    command = [sys.executable, "-m", "swincli", "recipe", "list", *options]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: standard output: no space left on the disk\n")


@pytest.mark.parametrize(
    ("encoding", "expected"), [("ascii", "häuser/\udc80"), ("latin-1", "häuser/ō"), ("utf-8", "ō\udcff")]
)
def test_names_that_stdout_cannot_encode_come_out_as_their_bytes(
    encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding, write_through=True))
    monkeypatch.setattr(module, "run", lambda: sys.stdout.write(f"{expected}\n") and 0)
    with pytest.raises(SystemExit):
        module.main()
    kept = {"latin-1": "häuser/".encode("latin-1") + "ō".encode()}
    assert written.getvalue().rstrip() == kept.get(encoding, os.fsencode(expected))
