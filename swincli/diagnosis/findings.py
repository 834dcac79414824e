"""What is wrong or worth knowing, each with what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from swincli.errors import SwincliError

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that a diagnosis found.

    Attributes:
        severity: "error" where something cannot be used as it is, "warning" where it can.
        about: What it is about: the name of a line of the report.
        message: What is the matter; names the file or `section.key`.
        hint: What to do; empty where there is nothing.
    """

    severity: Severity
    about: str
    message: str
    hint: str = ""

    def facts(self) -> dict[str, str]:
        """Plain values for JSON."""
        return asdict(self)


def warning(about: str, message: str, hint: str = "") -> Finding:
    """Something that works, and could be better or may yet fail."""
    return Finding("warning", about, message, hint)


def failure(about: str, error: SwincliError) -> Finding:
    """An error that training would stop with."""
    return Finding("error", about, error.message, error.hint or "")


def worst(findings: list[Finding], about: str) -> Severity | None:
    """The severity of the gravest finding about one thing; None where there is none."""
    severities = {finding.severity for finding in findings if finding.about == about}
    return "error" if "error" in severities else "warning" if severities else None
