"""Requests of the page, checked: from JSON of unknown content to messages for the worker."""

from __future__ import annotations

import json
from typing import Any

from swincli.errors import UsageError
from swincli.units import LARGEST_SEED
from swincli.view.look import MOST_TEXT, parse_look
from swincli.view.worker.loop import Message

MOST_TILES = 400  # seeds of a request
MOST_KEYS = 200


def read_json(text: str | bytes) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        UsageError: it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("request: not JSON") from None
    if not isinstance(found, dict):
        raise UsageError("request: not an object")
    return found


def check_look(request: dict[str, Any]) -> str:
    """The text of a look, which can be read.

    Raises:
        UsageError: it cannot.
    """
    text: str = _of(request, "look", str)
    parse_look(text)
    return text


def check_looks(request: dict[str, Any], name: str) -> list[str]:
    """Texts of looks.

    Raises:
        UsageError: there are none or too many, or one cannot be read.
    """
    looks = _of(request, name, list)
    if not 1 <= len(looks) <= MOST_KEYS:
        raise UsageError(f"request: {name} must be 1 to {MOST_KEYS} pictures")
    return [check_look({"look": look}) for look in looks]


def picture(request: dict[str, Any]) -> Message:
    """A picture of a look."""
    return {"kind": "picture", "look": check_look(request)}


def tiles(request: dict[str, Any]) -> Message:
    """Small pictures of seeds."""
    seeds = _of(request, "seeds", list)
    if len(seeds) > MOST_TILES or not all(type(seed) is int and 0 <= seed <= LARGEST_SEED for seed in seeds):
        raise UsageError(f"request: seeds must be up to {MOST_TILES} whole numbers from 0 to {LARGEST_SEED}")
    return {"kind": "tiles", "look": check_look(request), "seeds": seeds}


def attention(request: dict[str, Any]) -> Message:
    """Attention maps of a pixel."""
    point = _of(request, "point", list)
    if len(point) != 2 or not all(type(place) is int and 0 <= place < 2**16 for place in point):
        raise UsageError("request: point must be two whole numbers")
    layer = _of(request, "layer", str)[:20]
    return {"kind": "attention", "look": check_look(request), "point": point, "layer": layer}


def walk(request: dict[str, Any]) -> Message:
    """A walk: its key frames and settings."""
    given = _of(request, "walk", dict)
    settings = {
        "keys": check_looks(given, "keys"),
        "curve": _of(given, "curve", str),
        "easing": _of(given, "easing", str),
        "loop": _of(given, "loop", bool),
        "frames": _of(given, "frames", int),
        "fps": float(_of(given, "fps", int | float)),
        "enlarge": _of(given, "enlarge", int),
    }
    return {"walk": settings}


def walk_frame(request: dict[str, Any]) -> Message:
    """A frame of a walk."""
    return {"kind": "walk", **walk(request), "frame": abs(_of(request, "frame", int)) % 10**9}


def directions(request: dict[str, Any]) -> Message:
    """The directions for some layers."""
    return {"kind": "directions", "layers": _of(request, "layers", str)[:80]}


def projection(request: dict[str, Any], data: bytes) -> Message:
    """The projection of an upload."""
    name, steps = _of(request, "name", str)[:200] or "picture", _of(request, "steps", int)
    return {"kind": "project", "name": name, "data": data, "space": _of(request, "space", str), "steps": steps}


def _of(request: dict[str, Any], name: str, kind: Any) -> Any:
    value = request.get(name)
    is_other = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    is_other |= isinstance(value, int) and abs(value) > 2**53
    if is_other or (isinstance(value, str) and len(value) > MOST_TEXT):
        raise UsageError(f"request: {name} is missing or of the wrong kind")
    return value
