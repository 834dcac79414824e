"""Report files of `prepare-data`: the HTML page and the contact sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from swincli.data.preparing.decode_crop import DecodeOptions
from swincli.data.preparing.report_page import (
    GENERATOR,
    ReportText,
    names_of_images,
    names_of_skipped,
    render_page,
)
from swincli.data.preparing.survey import Survey
from swincli.data.preparing.thumbnails import (
    THUMBNAIL,
    is_contact_sheet,
    original_thumbnail,
    prepared_thumbnail,
    read_thumbnails,
    write_contact_sheet,
)
from swincli.data.sources.entries import Source
from swincli.errors import DataError, UsageError
from swincli.system.atomic_files import check_writable, write_atomically
from swincli.system.overwrite import check_overwrite

_HEAD = 1024  # bytes; the mark of a page is at its start


@dataclass(frozen=True)
class ReportFiles:
    """Report files to write.

    Attributes:
        report: The HTML page; None for none.
        contact_sheet: The PNG; None for none.
    """

    report: Path | None = None
    contact_sheet: Path | None = None

    def check(self, *places: str | Path, force: bool) -> None:
        """Check the files before any work is done.

        Args:
            places: Sources and destinations; the files must not be inside them.
            force: Whether any existing file may be replaced; otherwise only earlier reports and contact sheets.

        Raises:
            UsageError: A name has another suffix, is a folder, or is inside one of the places.
            DataError: A file exists and must not be replaced.
            ResourceError: A file cannot be written there.
        """
        for option, path, suffixes, is_own in (
            ("--report", self.report, (".html", ".htm"), is_report),
            ("--contact-sheet", self.contact_sheet, (".png",), is_contact_sheet),
        ):
            if path is None:
                continue
            if path.suffix.lower() not in suffixes or path.is_dir():
                raise UsageError(
                    f"{option} {path}: the name of a {suffixes[0]} file is required",
                    f"For example {option} pictures{suffixes[0]}.",
                )
            for place in places:
                if path.resolve().is_relative_to(Path(place).resolve()):
                    raise UsageError(f"{option} {path} is inside {place}", f"Choose a place outside {place}.")
            check_overwrite([path], force=force, is_own=is_own)
            check_writable(path)


def is_report(path: Path) -> bool:
    """Whether a file is a report page of `prepare-data`."""
    try:
        with path.open("rb") as file:
            return GENERATOR.encode() in file.read(_HEAD)
    except OSError:
        return False


def write_reports(
    files: ReportFiles, text: ReportText, survey: Survey, decode: DecodeOptions, source: Source
) -> list[Path]:
    """Write the report files; return their paths.

    Args:
        files: Which files.
        text: Title, summary, settings and credit of the page.
        survey: Counts over the source.
        decode: How pictures became images.
        source: Read again for the few pictures that are shown.

    Raises:
        DataError: No picture of the source can be read again.
        ResourceError: A file cannot be written.
    """
    written = []
    if files.report is not None:
        content = render_page(text, survey, _page_thumbnails(survey, decode, source))
        data = content.encode("utf-8", "backslashreplace")
        write_atomically(files.report, lambda temporary: temporary.write_bytes(data))
        written.append(files.report)
    if files.contact_sheet is not None:
        pictures = read_thumbnails(source, survey.examples, prepared_thumbnail(decode))
        if not pictures:
            raise DataError(f"{files.contact_sheet}: no picture could be read again", "Was the source removed?")
        write_contact_sheet(files.contact_sheet, [pictures[name] for name in survey.examples if name in pictures])
        written.append(files.contact_sheet)
    return written


def _page_thumbnails(survey: Survey, decode: DecodeOptions, source: Source) -> dict[str, Image.Image]:
    """Images of the store, and duplicates, are shown as cropped; pictures that were skipped are shown whole."""
    cropped, prepared = names_of_images(survey), prepared_thumbnail(decode)

    def make(data: bytes, name: str) -> Image.Image | None:
        picture = prepared(data, name) if name in cropped else original_thumbnail(data, name)
        if picture is not None:
            picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        return picture

    return read_thumbnails(source, cropped | names_of_skipped(survey), make)
