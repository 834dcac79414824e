"""`Look`: all settings of one picture, as the text that the page's address, the server and the worker share.

For example `seed=12&truncation=0.7&mix=5@0:1,3:0.4&edit=pca:0@coarse=1.5`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from swincli.errors import UsageError
from swincli.units import LARGEST_SEED

MOST_TEXT = 8192  # characters
MOST_PARTS = 256  # settings of a picture
MOST_AMOUNT = 100.0  # of an edit, in the direction's units; also bounds truncation
_HINT = "Reset the page: open it without what follows # in its address."
_NUMBER = r"-?\d{1,6}(?:\.\d{1,12})?"
_EDIT = re.compile(rf"([a-z]+:[^@=&]{{1,80}})@([a-z0-9,-]{{1,80}})=({_NUMBER})")
_SHARE = re.compile(rf"(\d{{1,2}}):({_NUMBER})")


@dataclass(frozen=True)
class Edit:
    """A step along a direction.

    Attributes:
        direction: Its name, such as "pca:0": the family and the name inside it.
        layers: Codes of w+ that move, as `parse_code_layers` reads them.
        amount: Length of the step in the direction's units.
    """

    direction: str
    layers: str
    amount: float


@dataclass(frozen=True)
class Look:
    """The settings of one picture.

    Attributes:
        seed: The seed of its z.
        code: Name of a code that was projected or read from a file, which then takes the place of the seed.
        of_class: The class of a conditional model, by name or number; None to draw one by the seed.
        labels: Values of attributes, each NAME=VALUE as for `sample --label`; the rest is drawn by the seed.
        text: The text of a model of texts; None to draw one by the seed.
        guidance: Of a model of texts, how far w moves away from the w without a text; 1 changes nothing.
        truncation: Strength of truncation; 1 changes nothing.
        mix_seed: The seed that levels are mixed with; None for no mixing.
        shares: Levels, from 0, with the share that they take from `mix_seed`, above 0 and up to 1.
        edits: Steps along directions, in order.
    """

    seed: int = 0
    code: str | None = None
    of_class: str | None = None
    labels: tuple[str, ...] = ()
    text: str | None = None
    guidance: float = 1.0
    truncation: float = 1.0
    mix_seed: int | None = None
    shares: tuple[tuple[int, float], ...] = ()
    edits: tuple[Edit, ...] = ()

    @property
    def wanted(self) -> str | tuple[str, ...] | None:
        """The class or the labels; None to draw them by the seed."""
        return self.of_class or self.labels or None


def parse_look(text: str) -> Look:
    """Read the text of a look.

    Raises:
        UsageError: it cannot be read; the message names the part.
    """
    if len(text) > MOST_TEXT:
        raise UsageError(f"picture: its settings are longer than {MOST_TEXT:,} characters", _HINT)
    parts = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_PARTS, errors="replace")
    values = {name: value for name, value in parts if name not in ("edit", "label")}
    unknown = values.keys() - {"seed", "code", "class", "text", "guidance", "truncation", "mix"}
    if unknown:
        raise UsageError(f"picture: unknown setting {sorted(unknown)[0][:40]!r}", _HINT)
    mix_seed, shares = _mix(values["mix"]) if "mix" in values else (None, ())
    return Look(
        seed=_seed("seed", values.get("seed", "0")),
        code=_code(values["code"]) if "code" in values else None,
        of_class=values.get("class") or None,
        labels=tuple(value for name, value in parts if name == "label"),
        text=values.get("text") or None,
        guidance=_number("guidance", values.get("guidance", "1")),
        truncation=_number("truncation", values.get("truncation", "1")),
        mix_seed=mix_seed,
        shares=shares,
        edits=tuple(_edit(value) for name, value in parts if name == "edit"),
    )


def _bad(name: str, value: str) -> UsageError:
    return UsageError(f"picture: {name}={value[:60]} cannot be read", _HINT)


def _seed(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > LARGEST_SEED:
        raise UsageError(f"picture: {name}={text[:60]}: a seed is a whole number from 0 to {LARGEST_SEED}", _HINT)
    return int(text)


def _code(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{12}", text):
        raise _bad("code", text)
    return text


def _number(name: str, text: str) -> float:
    if not re.fullmatch(_NUMBER, text) or not abs(float(text)) <= MOST_AMOUNT or not math.isfinite(float(text)):
        raise _bad(name, text)
    return float(text)


def _mix(text: str) -> tuple[int, tuple[tuple[int, float], ...]]:
    seed, at, rest = text.partition("@")
    shares = []
    for part in rest.split(",") if at and rest else []:
        match = _SHARE.fullmatch(part)
        if match is None or not 0 <= float(match[2]) <= 1:
            raise _bad("mix", text)
        shares.append((int(match[1]), float(match[2])))
    return _seed("mix", seed), tuple(sorted((level, share) for level, share in dict(shares).items() if share))


def _edit(text: str) -> Edit:
    match = _EDIT.fullmatch(text)
    if match is None:
        raise _bad("edit", text)
    return Edit(match[1], match[2], _number("edit", match[3]))
