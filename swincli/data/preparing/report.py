"""Writing what `report_page` and `thumbnails` make, once all is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swincli.data.preparing.report_page import Page, report_page, wanted_thumbnails
from swincli.data.preparing.survey import Survey
from swincli.data.preparing.thumbnails import as_prepared, read_pictures, whole, write_contact_sheet
from swincli.data.preparing.workers import Fit
from swincli.data.sources.entries import Source
from swincli.errors import DataError, UsageError
from swincli.system.atomic_files import write_atomically


@dataclass(frozen=True)
class Asked:
    """Files that were asked for besides.

    Attributes:
        report: The HTML page.
        contact_sheet: The PNG.
    """

    report: Path | None = None
    contact_sheet: Path | None = None

    def check(self, *places: str | Path) -> None:
        """Refuse, before any work, names that could not be written or would lie where only data belongs.

        Args:
            places: Sources and destinations.

        Raises:
            UsageError: a name of another kind, a folder, or a place inside one of those.
        """
        for option, path, suffixes in (
            ("--report", self.report, (".html", ".htm")),
            ("--contact-sheet", self.contact_sheet, (".png",)),
        ):
            if path is None:
                continue
            if path.suffix.lower() not in suffixes or path.is_dir():
                raise UsageError(
                    f"{option} {path}: the name of a {suffixes[0]} file is needed",
                    f"For example {option} pictures{suffixes[0]}.",
                )
            for place in places:
                if path.resolve().is_relative_to(Path(place).resolve()):
                    raise UsageError(f"{option} {path} lies inside {place}", "Write it beside, or elsewhere.")


@dataclass(frozen=True)
class Words:
    """What the report says besides what was counted.

    Attributes:
        title: What was prepared, or looked at.
        summary: The result in a sentence.
        settings: How.
        credit: Whom the pictures are owed to.
    """

    title: str
    summary: str
    settings: Mapping[str, Any]
    credit: str | None = None


def write_asked(asked: Asked, words: Words, survey: Survey, how: Fit, reopen: Callable[[], Source]) -> list[Path]:
    """Write the files that were asked for; return their paths.

    Args:
        asked: Which.
        words: What the report says.
        survey: What went by.
        how: What pictures became.
        reopen: Opens the source once more, for the few pictures that are shown.

    Raises:
        DataError: the source is no longer there.
        ResourceError: a file cannot be written.
    """
    written = []
    if asked.report is not None:
        with reopen() as source:
            thumbnails = read_pictures(source, wanted_thumbnails(survey), whole)
        settings = {key: _spelled(value) for key, value in words.settings.items() if value is not None}
        page = report_page(Page(words.title, words.summary, settings, survey, thumbnails, words.credit))
        content = page.encode("utf-8", "backslashreplace")
        write_atomically(asked.report, lambda temporary: temporary.write_bytes(content))
        written.append(asked.report)
    if asked.contact_sheet is not None:
        with reopen() as source:
            pictures = read_pictures(source, survey.examples, as_prepared(how))
        if not pictures:
            raise DataError(f"{asked.contact_sheet}: no picture could be read again", "Was the source taken away?")
        write_contact_sheet(asked.contact_sheet, [pictures[name] for name in survey.examples if name in pictures])
        written.append(asked.contact_sheet)
    return written


def _spelled(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {entry}" for name, entry in value.items())
    return str(value)
