"""Exceptions for expected failures, each with a message and a hint.

    SwincliError            exit code 1: the command was valid, and the work failed
    ├── UsageError          exit code 2: the command line is invalid
    │   └── RecipeError     exit code 2: a recipe is invalid; lists all its problems
    ├── DataError           pictures, stores, latents: missing, damaged or unsuitable
    ├── CheckpointError     models and training states: missing, damaged or of another shape
    ├── TrainingError       training cannot start or continue
    ├── ResourceError       the machine lacks something: disk space, permission, a device, weights
    └── PeerFailedError     this process stops because another one has failed; that one reports the reason

The command line prints `error: MESSAGE`, an empty line and `hint: HINT`. A message names the file or `section.key`.
Exit code 3 is no error: training was stopped and saved before its end (`commands/typer_command.Result`).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from swincli.units import format_lines


class SwincliError(Exception):
    """An expected failure: `message` says what is wrong and where, `hint` says what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SwincliError):
    """An invalid command line."""

    exit_code = 2


class RecipeError(UsageError):
    """An invalid recipe. `problems` lists all problems, each as `section.key: problem`."""

    def __init__(self, source: str, problems: list[str], hint: str | None = None) -> None:
        self.problems = problems
        if len(problems) == 1:
            message = f"{source}: {problems[0]}"
        else:
            message = f"{source} has {len(problems)} problems\n{format_lines(problems)}"
        super().__init__(message, hint)


class DataError(SwincliError):
    """Pictures, stores or latents that are missing, damaged or unsuitable for the command."""


class CheckpointError(SwincliError):
    """A model or training state that is missing, damaged or has another shape."""


class TrainingError(SwincliError):
    """Training cannot start or continue."""


class ResourceError(SwincliError):
    """The machine lacks something: disk space, permission, a device, weights."""


class PeerFailedError(SwincliError):
    """Another process has failed and reports the reason itself; this one only stops."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: '; did you mean "fid"?' if a known name is similar, else empty."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'; did you mean "{near[0]}"?' if near else ""


def from_os_error(error: OSError, doing: str) -> SwincliError:
    """Convert an operating system error. `doing` names the failed action, such as "writing runs/a"."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"{doing}: no space left on the disk", "Free some space or write to another disk.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ResourceError(f"{doing}: permission denied", "Change the permissions or choose another path.")
    if error.errno == errno.EFBIG:
        return ResourceError(f"{doing}: {error.strerror}", "The system limits file sizes (see ulimit -f).")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return ResourceError(f"{doing}: {error.strerror}", "RLIMIT_NOFILE limits open files (see ulimit -n): raise it.")
    if error.errno == errno.ENOMEM:
        return ResourceError(f"{doing}: {error.strerror}", "RLIMIT_AS may limit memory (see ulimit -v): raise it.")
    if error.errno == errno.EEXIST:
        return ResourceError(f"{doing}: there is a file where a folder is needed", "Choose another path.")
    return ResourceError(f"{doing}: {error.strerror or error}")
