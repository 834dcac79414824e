"""Commands made from request dataclasses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

import pytest
import torch
import typer

from swincli.commands.typer_command import GivenOptions, Result, TyperCommand, command, device_command
from swincli.console import Console
from swincli.errors import UsageError

Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request with an argument, two options, and the names of the options given."""

    name: Annotated[str, typer.Argument()]
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 2
    loud: Annotated[bool, typer.Option("--loud")] = False
    given: GivenOptions = ()

    def check(self) -> None:
        if self.count == 13:
            raise UsageError("--count 13: is unlucky", "Give 12.")


@command(Request)
def greet(request: Request, console: Console) -> Result | None:
    """Greet somebody."""
    console.say(f"greeting {request.name}")
    if request.name == "nobody":
        return None
    line = f"hello {request.name}" * request.count + "!" * request.loud
    return Result({"line": line, "given": list(request.given)}, [line], failed=request.name == "ghost")


@device_command(Request)
def place(request: Request, device: torch.device, console: Console) -> Result:  # noqa: ARG001
    return Result({"device": device.type}, [device.type])


def call(function: TyperCommand, *arguments: str) -> int:
    """The exit code of a command line of that one command."""
    app = typer.Typer()
    app.command()(function)
    try:
        code = typer.main.get_command(app)(list(arguments), standalone_mode=False)
    except typer.TyperException as error:
        return int(error.exit_code)
    return code if isinstance(code, int) else 0


def test_fields_are_options_and_lines_go_to_stdout(capsys: Capture) -> None:
    assert call(greet, "you", "--count", "1", "--loud") == 0
    assert capsys.readouterr() == ("hello you!\n", "greeting you\n")


def test_json_has_the_facts_and_the_options_that_were_given(capsys: Capture) -> None:
    assert call(greet, "you", "--loud", "--count", "2", "--json", "-q") == 0
    out, err = capsys.readouterr()
    given = ["--count", "--loud", "--json", "--quiet"]
    assert json.loads(out) == {"line": "hello youhello you!", "given": given}
    assert err == ""


def test_a_request_is_checked_before_the_body_runs(capsys: Capture) -> None:
    assert call(greet, "you", "--count", "13") == 2
    assert capsys.readouterr() == ("", "error: --count 13: is unlucky\n\nhint: Give 12.\n")
    assert call(greet, "you", "--count", "0") == 2
    assert call(greet) == 2


def test_a_failed_result_is_printed_and_exits_with_1(capsys: Capture) -> None:
    assert call(greet, "ghost", "--count", "1", "-q") == 1
    assert capsys.readouterr() == ("hello ghost\n", "")


def test_nothing_is_printed_without_a_result(capsys: Capture) -> None:
    assert call(greet, "nobody", "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_only_the_main_process_prints(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert call(greet, "you") == 0
    assert call(greet, "ghost") == 1
    assert capsys.readouterr() == ("", "")


def test_the_body_gets_the_device(capsys: Capture) -> None:
    assert call(place, "x", "--device", "cpu") == 0
    assert capsys.readouterr().out == "cpu\n"
    assert call(place, "x", "--device", "tpu") == 2


def test_the_docstring_is_the_help() -> None:
    assert greet.__doc__ == "Greet somebody."
    assert greet.__name__ == "greet"
