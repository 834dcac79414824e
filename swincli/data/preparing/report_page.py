"""The report as one self-contained HTML page: no scripts, no other files, no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

from PIL import Image

from swincli.data.preparing.survey import SourceRecord, Survey

PAIRS = 48  # most pairs of duplicates side by side
PATHS = 500  # most listed paths per reason
SHOWN = 24  # most pictures per reason
_UNFOLDED = 12  # a list of up to this number of paths is shown unfolded
_LABELS = 200  # most labels with a bar

GENERATOR = '<meta name="generator" content="swincli prepare-data">'
"""Mark of a report page. A page with it may be replaced by another report."""

Thumbnails = Mapping[str, Image.Image]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 500; vertical-align: top; }
td, th { padding: .15rem 1.2rem .15rem 0; overflow-wrap: anywhere; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { display: inline-block; height: .8rem; background: #5b8bc9; border-radius: 2px; }
.pictures { display: flex; flex-wrap: wrap; gap: 6px; } figure { margin: 0; width: 96px; }
figcaption { font-size: 11px; line-height: 1.3; overflow-wrap: anywhere; }
img, .none { display: block; object-fit: contain; width: 96px; height: 96px; background: #8882; }
.pair { display: flex; gap: 6px; border: 1px solid #8885; border-radius: 4px; padding: 6px; }
.paths { columns: 24rem; font-size: 12px; padding-left: 1.2rem; } .paths li { overflow-wrap: anywhere; }
summary { cursor: pointer; } .quiet { opacity: .7; }
"""


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


def names_on_page(survey: Survey) -> set[str]:
    """Names of the pictures that the page shows: at most EXAMPLES + 2 PAIRS + SHOWN per reason."""
    names = set(survey.examples)
    for record in survey.duplicates[:PAIRS]:
        names |= {record.name, record.same_as or record.name}
    for group in survey.by_reason().values():
        names |= {record.name for record in group[:SHOWN] if record.width is not None}
    return names


def render_page(text: ReportText, survey: Survey, thumbnails: Thumbnails) -> str:
    """Render the page as HTML.

    Args:
        text: Title, summary, settings and credit.
        survey: Counts over the source.
        thumbnails: Thumbnails by name; a missing one is a blank square.
    """
    settings = {name: _format_setting(value) for name, value in text.settings.items() if value is not None}
    parts = [
        f"<h1>{_html(text.title)}</h1><p>{_html(text.summary)}</p>",
        _skipped(survey, thumbnails, "; manifest.json lists all of them" if text.has_manifest else ""),
        _duplicates(survey, thumbnails),
        _section("Shorter sides", _bars(survey.shorter_sides())),
        _section("Most frequent sizes", _bars(_sizes(survey))),
        _section("Kinds of files", _bars(survey.kinds.most_common())),
        _section("Channels of the files", _bars(survey.modes.most_common(), _MODES)),
        _section("Parts", _bars(sorted(survey.parts.items()))),
        _labels(survey),
        _section("Examples of prepared pictures", _gallery(survey.examples, thumbnails)),
        _section("Settings", _table(settings.items())),
        f'<p class="quiet">{_html(text.credit)}</p>' if text.credit else "",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width">{GENERATOR}'
        f"<title>{_html(text.title)}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(part for part in parts if part)
        + "</body></html>\n"
    )


def _html(text: str) -> str:
    """Escape a text for HTML. Characters that cannot be printed become \\uXXXX."""
    printable = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
    return escape(printable)


def _format_setting(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {entry}" for name, entry in value.items())
    return str(value)


_MODES = {
    "1": "black and white", "L": "grey", "LA": "grey, transparent", "P": "palette", "PA": "palette, transparent",
    "RGB": "colour", "RGBA": "colour, transparent", "CMYK": "printing colours", "YCbCr": "colour", "LAB": "colour",
    "I;16": "16-bit grey", "I;16B": "16-bit grey", "I": "16-bit grey",
}  # fmt: skip


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>{content}" if content else ""


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{_html(name)}</th><td>{_html(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>" if cells else ""


def _bars(counts: Iterable[tuple[str, int]], meanings: Mapping[str, str] | None = None) -> str:
    counts = list(counts)
    most = max((count for _, count in counts), default=0)
    rows = []
    for name, count in counts:
        meaning = (meanings or {}).get(name)
        heading = f"{_html(name)} <span class=quiet>{_html(meaning)}</span>" if meaning else _html(name)
        bar = f'<span class="bar" style="width:{30 * count / max(most, 1):.2f}rem"></span>'
        rows.append(f'<tr><th>{heading}</th><td class="number">{count:,}</td><td>{bar}</td></tr>')
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _sizes(survey: Survey) -> list[tuple[str, int]]:
    shown = [(f"{width:,} x {height:,} px", count) for (width, height), count in survey.sizes.most_common(12)]
    others = sum(survey.sizes.values()) - sum(count for _, count in shown)
    return [*shown, ("others", others)] if others else shown


def _labels(survey: Survey) -> str:
    if not survey.labels:
        return ""
    shown = sorted(survey.labels.items(), key=lambda item: (-item[1], item[0]))[:_LABELS]
    more = _more(len(survey.labels) - len(shown), "labels")
    return _section(_counted(len(survey.labels), "label"), _bars(shown) + more)


def _skipped(survey: Survey, thumbnails: Thumbnails, where: str) -> str:
    groups = survey.by_reason()
    if not groups:
        return _section("Skipped files", "<p>None.</p>")
    parts = []
    for kind, group in groups.items():
        shown = [record for record in group[:SHOWN] if record.name in thumbnails and record.same_as is None]
        rows = "".join(f"<li>{_html(record.name)}: {_html(record.reason or '')}</li>" for record in group[:PATHS])
        is_open = " open" if len(group) <= _UNFOLDED else ""
        more = _more(len(group) - PATHS, f"paths{where}")
        parts.append(
            f"<details{is_open}><summary>{len(group):,} {_html(kind)}</summary>"
            f'{_gallery([record.name for record in shown], thumbnails)}<ul class="paths">{rows}</ul>{more}</details>'
        )
    return _section("Skipped files", "".join(parts))


def _duplicates(survey: Survey, thumbnails: Thumbnails) -> str:
    found = survey.duplicates
    if not found:
        return ""
    pairs = "".join(_pair(record, thumbnails) for record in found[:PAIRS])
    legend = "<p>Left: the kept picture. Right: the skipped duplicate.</p>"
    more = _more(len(found) - PAIRS, "pairs")
    return _section(_counted(len(found), "duplicate"), f'{legend}<div class="pictures">{pairs}</div>') + more


def _pair(record: SourceRecord, thumbnails: Thumbnails) -> str:
    duplicate = _figure(record.name, thumbnails, (record.reason or "").replace(f" of {record.same_as}", ""))
    return f'<div class="pair">{_figure(record.same_as or "", thumbnails)}{duplicate}</div>'


def _gallery(names: list[str], thumbnails: Thumbnails) -> str:
    figures = "".join(_figure(name, thumbnails) for name in names)
    return f'<div class="pictures">{figures}</div>' if figures else ""


def _figure(name: str, thumbnails: Thumbnails, note: str = "") -> str:
    picture = thumbnails.get(name)
    shown = '<span class="none"></span>' if picture is None else f'<img alt="" src="{_data_uri(picture)}">'
    caption = f"{_html(name)}<br><span class=quiet>{_html(note)}</span>" if note else _html(name)
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _data_uri(picture: Image.Image) -> str:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode('ascii')}"


def _more(count: int, things: str) -> str:
    return f'<p class="quiet">and {count:,} more {things}</p>' if count > 0 else ""
