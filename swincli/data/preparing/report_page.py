"""The report as one self-contained HTML page: no scripts, no other files, no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from swincli.data.images.digital_source import COMPOSITE, TRAINED
from swincli.data.preparing.survey import SourceRecord, Survey
from swincli.system.html_page import data_uri, page_template
from swincli.units import format_items

PAIRS = 48  # most pairs of duplicates side by side
PATHS = 500  # most listed paths per reason
SHOWN = 24  # most pictures per reason
_UNFOLDED = 12  # a list of up to this number of paths is shown unfolded
_LABELS = 200  # most labels with a bar

GENERATOR = '<meta name="generator" content="swincli prepare-data">'
"""Mark of a report page. A page with it may be replaced by another report."""

Thumbnails = Mapping[str, Image.Image]


@dataclass(frozen=True)
class ReportText:
    """Texts of the page.

    Attributes:
        title: The source, and the destination if there is one.
        summary: The result in one sentence.
        settings: Options and facts by name; None values are not shown.
        credit: Author and licence of built-in pictures.
        has_manifest: Whether a store was made, whose manifest.json lists all skipped files.
    """

    title: str
    summary: str
    settings: Mapping[str, Any]
    credit: str | None = None
    has_manifest: bool = False


@dataclass(frozen=True)
class _Group:
    """Files that were skipped for one kind of reason: their number, and those that the page lists and shows."""

    kind: str
    count: int
    listed: list[SourceRecord]
    shown: list[str]

    @property
    def unfolded(self) -> bool:
        return self.count <= _UNFOLDED


def names_of_images(survey: Survey) -> set[str]:
    """Names of the pictures that the page shows as images of the store: examples, and pairs of duplicates."""
    pairs = survey.duplicates[:PAIRS]
    shown = {*survey.examples, *survey.first_generated[:SHOWN]}
    return {*shown, *(record.name for record in pairs), *(record.same_as or record.name for record in pairs)}


def names_of_skipped(survey: Survey) -> set[str]:
    """Names of the pictures that the page shows although they were skipped: at most `SHOWN` per reason."""
    return {
        record.name
        for group in survey.by_reason().values()
        for record in group[:SHOWN]
        if record.width is not None and record.same_as is None
    }


def render_page(text: ReportText, survey: Survey, thumbnails: Thumbnails) -> str:
    """Render the page as HTML, from the template `report_page.html`.

    Args:
        text: Title, summary, settings and credit.
        survey: Counts over the source.
        thumbnails: Thumbnails by name; a missing one is a blank square.
    """
    return page_template("swincli.data.preparing", "report_page.html").render(
        generator=GENERATOR,
        text=text,
        survey=survey,
        thumbnails={name: data_uri(picture) for name, picture in thumbnails.items()},
        skipped=_skipped(survey, thumbnails),
        duplicates=survey.duplicates,
        pairs=PAIRS,
        sizes=_sizes(survey),
        labels=sorted(survey.labels.items(), key=lambda item: (-item[1], item[0]))[:_LABELS],
        modes=_MODES,
        terms=_TERMS,
        shown=SHOWN,
        settings=[(name, _format_setting(value)) for name, value in text.settings.items() if value is not None],
        counted=format_items,
        difference=lambda record: (record.reason or "").replace(f" of {record.same_as}", ""),
    )


def _format_setting(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {entry}" for name, entry in value.items())
    return str(value)


_MODES = {
    "1": "black and white", "L": "grey", "LA": "grey, transparent", "P": "palette", "PA": "palette, transparent",
    "RGB": "colour", "RGBA": "colour, transparent", "CMYK": "printing colours", "YCbCr": "colour", "LAB": "colour",
    "I;16": "16-bit grey", "I;16B": "16-bit grey", "I": "16-bit grey",
}  # fmt: skip


_TERMS = {
    TRAINED: "made by a trained algorithm", COMPOSITE: "a picture with parts made by a trained algorithm",
    "compositeSynthetic": "a composite with such parts",
}  # fmt: skip


def _sizes(survey: Survey) -> list[tuple[str, int]]:
    shown = [(f"{width:,} x {height:,} px", count) for (width, height), count in survey.sizes.most_common(12)]
    others = sum(survey.sizes.values()) - sum(count for _, count in shown)
    return [*shown, ("others", others)] if others else shown


def _skipped(survey: Survey, thumbnails: Thumbnails) -> list[_Group]:
    groups = []
    for kind, group in survey.by_reason().items():
        shown = [record.name for record in group[:SHOWN] if record.name in thumbnails and record.same_as is None]
        groups.append(_Group(kind, len(group), group[:PATHS], shown))
    return groups
