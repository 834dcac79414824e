"""Typer commands made from request dataclasses, what they return, and the error boundary around them.

A command is a request (a dataclass whose fields are the options) and a body. `command` and `device_command` add the
options that every command has, build and check the request, and print the result of the body.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import MISSING, Field, dataclass, fields
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, TypeVar, get_args, get_type_hints

import typer

from swincli.commands.options import DebugOption, DeviceOption, JsonOption, QuietOption

if TYPE_CHECKING:
    import torch

    from swincli.console import Console


class Request(Protocol):
    """A frozen, keyword-only dataclass whose fields are the options of a command, in the order of its help."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def check(self) -> None:
        """Raise `UsageError` for options that contradict each other or cannot be read."""


@dataclass(frozen=True)
class Result:
    """What a command has done.

    Attributes:
        facts: The JSON object that `--json` prints; there, tuples are arrays, and NaN and infinity are null.
        lines: The lines that stdout gets without `--json`.
        failed: Whether the exit code is 1, although there was no error.
        stopped: Whether the exit code is 3: the work was saved before its end, and the same command goes on with it.
    """

    facts: dict[str, Any]
    lines: list[str]
    failed: bool = False
    stopped: bool = False

    @property
    def exit_code(self) -> int:
        """3 if there is work left, else 1 if something failed, else 0."""
        return 3 if self.stopped else int(self.failed)


R = TypeVar("R", bound=Request)
TyperCommand = Callable[..., None]

GIVEN = object()
"""Marks the field of a request that receives the names of the options on the command line, such as "--data"."""
GivenOptions = Annotated[tuple[str, ...], GIVEN]


def command(request: type[R]) -> Callable[[Callable[[R, Console], Result | None]], TyperCommand]:
    """Decorator: make a Typer command of `body(request, console)`; its docstring is the help.

    The body returns what is printed, or None for nothing.
    """

    def decorate(body: Callable[[R, Console], Result | None]) -> TyperCommand:
        def run(asked: R, device: str, console: Console) -> Result | None:  # noqa: ARG001
            return body(asked, console)

        return _typer_command(request, run, body, {})

    return decorate


def device_command(request: type[R]) -> Callable[[Callable[[R, torch.device, Console], Result | None]], TyperCommand]:
    """Decorator: like `command`, but the body, `body(request, device, console)`, also gets the device of `--device`.

    PyTorch is imported and configured after the request has been checked.
    """

    def decorate(body: Callable[[R, torch.device, Console], Result | None]) -> TyperCommand:
        def run(asked: R, device: str, console: Console) -> Result | None:
            from swincli.system.openmp import adapt_spinning

            opened = _open_device(device)
            with adapt_spinning() if opened.type == "cpu" else nullcontext():
                return body(asked, opened, console)

        return _typer_command(request, run, body, {"device": (DeviceOption, "auto")})

    return decorate


def _typer_command(
    request: type[R],
    run: Callable[[R, str, Console], Result | None],
    body: Callable[..., object],
    extra: dict[str, tuple[Any, str]],
) -> TyperCommand:
    """The function that Typer calls; its parameters are the fields of `request`, `extra`, and the common options."""
    annotations = get_type_hints(request, include_extras=True)
    given = [name for name, annotation in annotations.items() if GIVEN in get_args(annotation)]
    shared = {**extra, "json_mode": (JsonOption, False), "quiet": (QuietOption, False), "debug": (DebugOption, False)}
    parameters = [
        Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(_parameter(field, annotations[field.name]) for field in fields(request) if field.name not in given),
        *(
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for name, (annotation, default) in shared.items()
        ),
    ]

    def typer_command(
        *, context: typer.Context, json_mode: bool, quiet: bool, debug: bool, device: str = "auto", **options: Any
    ) -> None:
        with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
            from swincli.system.torchrun_env import is_secondary

            asked = request(**options, **dict.fromkeys(given, given_options(context)))
            asked.check()
            result = run(asked, device, console)
            if result is not None and not is_secondary():
                console.emit(result.facts, result.lines)
            if result is not None and result.exit_code:
                raise typer.Exit(result.exit_code)

    typer_command.__name__, typer_command.__doc__ = body.__name__, body.__doc__
    typer_command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    typer_command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return typer_command


def _parameter(field: Field[Any], annotation: Any) -> Parameter:
    default = Parameter.empty if field.default is MISSING else field.default
    return Parameter(field.name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _open_device(name: str) -> torch.device:
    """The device of this process that `--device` means, after PyTorch's process-wide settings.

    Raises:
        ResourceError: there is no such device here.
        UsageError: several processes would share a device that cannot be shared.
    """
    from swincli.system import runtime
    from swincli.system.distributed import local_device

    runtime.configure()
    return runtime.choose_device(local_device(name))


def given_options(context: typer.Context) -> tuple[str, ...]:
    """The options on the command line, such as "--data", in the order of the help."""
    return tuple(
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.param_type_name == "option" and _is_given(context, parameter.name)
    )


def _is_given(context: typer.Context, name: str | None) -> bool:
    source = context.get_parameter_source(name) if name is not None else None
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def boundary(*, json_mode: bool, quiet: bool, debug: bool) -> Iterator[Console]:
    """Open the console, and turn every error of the block into `error:`, `hint:` and an exit code.

    Expected errors exit with their own code, errors of the operating system and bugs with 1, Ctrl-C with 130, SIGTERM
    with 143. Errors of the process's limits (memory, threads, open files) are expected: they name the limit. With
    `debug` the traceback is shown as well. Of several processes, one reports an error that all of them have.
    """
    from swincli.console import STDOUT, Console
    from swincli.errors import SwincliError, from_os_error
    from swincli.system.process_limits import explain_limit
    from swincli.system.stop_signals import reason_and_code
    from swincli.system.torchrun_env import is_secondary

    console = Console(json_mode=json_mode, quiet=quiet or is_secondary())
    try:
        yield console
    except SwincliError as error:
        _fail(console, error, debug)
    except BrokenPipeError:
        _mute_stdout()
        raise typer.Exit(1) from None
    except OSError as error:
        if error.filename == STDOUT:
            _mute_stdout()
        _fail(console, explain_limit(error) or from_os_error(error, str(error.filename or "swincli")), debug)
    except KeyboardInterrupt as error:
        reason, code = reason_and_code(error)
        if not is_secondary():
            console.error(reason)
        raise typer.Exit(code) from None
    except (typer.Exit, typer.Abort, typer.TyperException):
        raise
    except Exception as error:
        limit = explain_limit(error)
        if debug and limit is None:
            raise
        _fail(
            console,
            limit or SwincliError(f"unexpected {type(error).__name__}: {error}", "Run it again with --debug."),
            debug,
        )


def _mute_stdout() -> None:
    """Send Python's last flush to /dev/null: nobody reads stdout any more (`| head`), or it cannot be written."""
    if sys.stdout is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _fail(console: Console, error: BaseException, debug: bool) -> None:
    from swincli.errors import PeerFailedError, SwincliError, UsageError
    from swincli.system.torchrun_env import is_secondary

    if debug:
        console.stderr.print_exception()
    assert isinstance(error, SwincliError)
    if not (is_secondary() and isinstance(error, PeerFailedError | UsageError)):
        console.error(error.message, error.hint)
    raise typer.Exit(error.exit_code) from None
