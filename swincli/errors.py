"""Everything that swincli expects to go wrong.

    SwincliError            exit code 1: the work was asked for rightly and failed
    ├── UsageError          exit code 2: the command line asks for something that cannot be
    │   └── RecipeError     exit code 2: a recipe with all of its problems
    ├── DataError           pictures, stores, latents: missing, damaged or unfit
    ├── CheckpointError     models and training states: missing, damaged or of another shape
    ├── TrainingError       training cannot start or go on
    ├── ResourceError       the machine lacks it: disk space, permission, a device, weights
    └── PeerFailedError   one of several processes ends because another one has; which says why

The command line prints `error: MESSAGE`, an empty line and `hint: HINT`. A message names the file or `section.key`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable


class SwincliError(Exception):
    """An expected failure: `message` says what is wrong and where, `hint` what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SwincliError):
    """The command line cannot be carried out as it stands."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe that does not hold together; `problems` lists every one, each as `section.key: what`."""

    def __init__(self, source: str, problems: list[str], hint: str | None = None) -> None:
        self.problems = problems
        if len(problems) == 1:
            message = f"{source}: {problems[0]}"
        else:
            message = f"{source} has {len(problems)} problems\n" + "\n".join(f"  {problem}" for problem in problems)
        super().__init__(message, hint)


class DataError(SwincliError):
    """Pictures, stores or latents that are missing, damaged or unfit for what was asked."""


class CheckpointError(SwincliError):
    """A model or training state that is missing, damaged or of another shape."""


class TrainingError(SwincliError):
    """Training that cannot start or cannot go on."""


class ResourceError(SwincliError):
    """The machine lacks what is needed: disk space, permission, a device, weights."""


class PeerFailedError(SwincliError):
    """What the leading one of several processes could not do; it has said so itself."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: '; did you mean "fid"?' if a known name is similar, else empty."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'; did you mean "{near[0]}"?' if near else ""


def from_os_error(error: OSError, doing: str) -> SwincliError:
    """Put an operating system's refusal into words: `doing` is what was attempted, such as "writing runs/a"."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"{doing}: no space left on the disk", "Free some space, or write to another disk.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ResourceError(f"{doing}: permission denied", "Change its permissions, or choose another place.")
    if error.errno == errno.EFBIG:
        return ResourceError(f"{doing}: {error.strerror}", "The system limits the size of files (see ulimit -f).")
    if error.errno == errno.EEXIST:
        return ResourceError(f"{doing}: a file lies where a folder should be", "Choose another place.")
    return ResourceError(f"{doing}: {error.strerror or error}")
