"""Self-contained HTML pages: one template engine, one style, pictures as data URIs; no other files, no network."""

from __future__ import annotations

import functools
from base64 import b64encode
from importlib.resources import files
from io import BytesIO
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image


@functools.cache
def page_template(package: str, name: str) -> Template:
    """The compiled template of a page, `name` in the folder of a package; every text that is inserted is escaped.

    The variable `style` is the style that all pages share.
    """
    environment = Environment(autoescape=True, finalize=_printable, undefined=StrictUndefined)
    environment.globals["style"] = Markup(files("swincli.system").joinpath("html_page.css").read_text("utf-8"))
    return environment.from_string(files(package).joinpath(name).read_text("utf-8"))


@functools.cache
def text_template(package: str, name: str) -> Template:
    """The compiled template of a text, such as Markdown; nothing is escaped."""
    environment = Environment(
        autoescape=False, finalize=_printable, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = _table_cell
    return environment.from_string(files(package).joinpath(name).read_text("utf-8"))


def _table_cell(value: object) -> str:
    """Text for a cell of a Markdown table: a vertical line would end it, and a `<` begin an element."""
    return str(value).replace("|", "\\|").replace("<", "&lt;")


def data_uri(picture: Image.Image, kind: str = "JPEG", **options: Any) -> str:
    """A picture as the address of an `<img>`."""
    buffer = BytesIO()
    picture.save(buffer, kind, **(options or {"quality": 80}))
    return f"data:image/{kind.lower()};base64,{b64encode(buffer.getvalue()).decode('ascii')}"


def _printable(value: object) -> object:
    """Spell out characters that cannot be printed, as \\uXXXX, in what a template inserts."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in value)
