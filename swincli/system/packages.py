"""Packages that only some commands need: one sentence for a missing one, with the extra that installs it."""

from __future__ import annotations

import importlib.util

from swincli.errors import ResourceError


def missing_package(what: str, package: str, extra: str | None = None, *, otherwise: str = "") -> ResourceError:
    """The error of a package that is not installed.

    Args:
        what: What needs it: a file, an option or `section.key`; the message begins with it.
        package: Its name for pip.
        extra: The extra of swincli that installs it; None for the package alone.
        otherwise: The end of the hint: what else can be done.
    """
    wanted = package if extra is None else f'"swincli[{extra}]"'
    return ResourceError(
        f"{what}: the package {package} is not installed", f"Install it: pip install {wanted}{otherwise}"
    )


def require_packages(what: str, *modules: str, extra: str) -> None:
    """Check that packages are installed, without loading them.

    Args:
        what: What needs them.
        modules: Their names for Python and pip.
        extra: The extra that installs them.

    Raises:
        ResourceError: one is missing.
    """
    missing = next((module for module in modules if importlib.util.find_spec(module) is None), None)
    if missing is not None:
        raise missing_package(what, missing, extra)
