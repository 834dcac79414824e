"""The report of a preparation as one HTML page that needs nothing else: no script, no file, no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from io import BytesIO

from PIL import Image

from swincli.data.preparing.seen import Seen
from swincli.data.preparing.survey import Survey

PAIRS = 48  # of duplicates, that are shown side by side
PATHS = 500  # that are listed for a reason
SHOWN = 24  # pictures that are shown for a reason
_FEW = 12  # so many paths are shown without a click
_LABELS = 200  # that get a bar

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
class Page:
    """What the page tells.

    Attributes:
        title: What was prepared, or looked at.
        summary: The result in a sentence.
        settings: How, word by word.
        survey: What went by.
        thumbnails: Small pictures by name; those that are missing are left blank.
        credit: Whom the pictures are owed to.
    """

    title: str
    summary: str
    settings: Mapping[str, str]
    survey: Survey
    thumbnails: Mapping[str, Image.Image] = field(default_factory=dict)
    credit: str | None = None


def wanted_thumbnails(survey: Survey) -> set[str]:
    """Names of the pictures that the page shows: a bounded number."""
    names = set(survey.examples)
    for seen in survey.duplicates[:PAIRS]:
        names |= {seen.name, seen.same_as or seen.name}
    for group in survey.by_reason().values():
        names |= {seen.name for seen in group[:SHOWN] if seen.width is not None}
    return names


def report_page(page: Page) -> str:
    """The page as HTML."""
    survey = page.survey
    parts = [
        f"<h1>{text(page.title)}</h1><p>{text(page.summary)}</p>",
        _left_out(page),
        _duplicates(page),
        _section("Shorter sides", _bars(survey.shorter_sides())),
        _section("Most frequent sizes", _bars(_sizes(survey))),
        _section("Kinds of files", _bars(survey.kinds.most_common())),
        _section("Channels of the files", _bars(survey.modes.most_common(), _MODES)),
        _section("Parts", _bars(sorted(survey.parts.items()))),
        _labels(survey),
        _section("Examples of what was taken", _gallery(page, survey.examples)),
        _section("Settings", _table(page.settings.items())),
        f'<p class="quiet">{text(page.credit)}</p>' if page.credit else "",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>{text(page.title)}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(part for part in parts if part)
        + "</body></html>\n"
    )


def text(words: str) -> str:
    """Words from anywhere as HTML: what could be markup, or cannot be printed, is spelled out."""
    shown = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in words)
    return escape(shown)


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
    cells = "".join(f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>" if cells else ""


def _bars(counts: Iterable[tuple[str, int]], meanings: Mapping[str, str] | None = None) -> str:
    counts = list(counts)
    most = max((count for _, count in counts), default=0)
    rows = []
    for name, count in counts:
        meaning = (meanings or {}).get(name)
        words = f"{text(name)} <span class=quiet>{text(meaning)}</span>" if meaning else text(name)
        bar = f'<span class="bar" style="width:{30 * count / max(most, 1):.2f}rem"></span>'
        rows.append(f'<tr><th>{words}</th><td class="number">{count:,}</td><td>{bar}</td></tr>')
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


def _left_out(page: Page) -> str:
    groups = page.survey.by_reason()
    if not groups:
        return _section("Left out", "<p>Nothing.</p>")
    parts = []
    for kind, group in groups.items():
        shown = [seen for seen in group[:SHOWN] if seen.name in page.thumbnails and seen.same_as is None]
        rows = "".join(f"<li>{text(seen.name)}: {text(seen.reason or '')}</li>" for seen in group[:PATHS])
        is_open = " open" if len(group) <= _FEW else ""
        more = _more(len(group) - PATHS, "paths, all of which are in manifest.json")
        parts.append(
            f"<details{is_open}><summary>{len(group):,} {text(kind)}</summary>"
            f'{_gallery(page, [seen.name for seen in shown])}<ul class="paths">{rows}</ul>{more}</details>'
        )
    return _section("Left out", "".join(parts))


def _duplicates(page: Page) -> str:
    found = page.survey.duplicates
    if not found:
        return ""
    pairs = "".join(_pair(page, seen) for seen in found[:PAIRS])
    words = "<p>The picture on the left was taken, the one on the right was left out.</p>"
    return _section(_counted(len(found), "duplicate"), f'{words}<div class="pictures">{pairs}</div>') + _more(
        len(found) - PAIRS, "pairs"
    )


def _pair(page: Page, seen: Seen) -> str:
    twin = _figure(page, seen.name, (seen.reason or "").replace(f" of {seen.same_as}", ""))
    return f'<div class="pair">{_figure(page, seen.same_as or "")}{twin}</div>'


def _gallery(page: Page, names: list[str]) -> str:
    figures = "".join(_figure(page, name) for name in names)
    return f'<div class="pictures">{figures}</div>' if figures else ""


def _figure(page: Page, name: str, note: str = "") -> str:
    picture = page.thumbnails.get(name)
    shown = '<span class="none"></span>' if picture is None else f'<img alt="" src="{_data_uri(picture)}">'
    words = f"{text(name)}<br><span class=quiet>{text(note)}</span>" if note else text(name)
    return f"<figure>{shown}<figcaption>{words}</figcaption></figure>"


def _data_uri(picture: Image.Image) -> str:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode('ascii')}"


def _more(count: int, what: str) -> str:
    return f'<p class="quiet">and {count:,} more {what}</p>' if count > 0 else ""
