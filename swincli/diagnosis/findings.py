"""Findings: errors and warnings of a diagnosis, each with a hint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from swincli.errors import SwincliError

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One error or warning.

    Attributes:
        severity: "error" if something does not work as it is, "warning" if it works.
        about: Line of the report that it belongs to, such as "memory".
        message: What is wrong; starts with the file or `section.key`.
        hint: What to do; empty if there is nothing to do.
    """

    severity: Severity
    about: str
    message: str
    hint: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return asdict(self)


def warning(about: str, message: str, hint: str = "") -> Finding:
    """A finding for something that works, but could be better or may fail later."""
    return Finding("warning", about, message, hint)


def from_error(about: str, error: SwincliError) -> Finding:
    """A finding for an error that `swincli train` would stop with."""
    return Finding("error", about, error.message, error.hint or "")


def worst_severity(findings: list[Finding], about: str) -> Severity | None:
    """The highest severity among the findings about one line; None if there are none."""
    severities = {finding.severity for finding in findings if finding.about == about}
    return "error" if "error" in severities else "warning" if severities else None
