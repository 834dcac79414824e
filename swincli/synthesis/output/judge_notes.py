"""The part of a provenance note that names the pretrained network that an image's model was trained against."""

from __future__ import annotations

import re

_JUDGE = re.compile(r" trained-against=(\S+):([0-9a-f]{64})(?= |$)")


def judge_note(judge: tuple[str, str] | None) -> str:
    """The part of a note, from the network's name and SHA-256; empty without one. It begins with a space."""
    return "" if judge is None else f" trained-against={judge[0].replace(' ', '-')}:{judge[1]}"


def judge_in(note: str | None) -> tuple[str, str] | None:
    """The network that a note names: its name and SHA-256."""
    found = _JUDGE.search(note or "")
    return None if found is None else (found[1], found[2])


def without_judge(note: str) -> str:
    """The note as versions wrote it that did not name the network."""
    return _JUDGE.sub("", note, count=1)
