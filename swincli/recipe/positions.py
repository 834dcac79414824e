"""Line numbers of the sections and keys of a TOML text."""

from __future__ import annotations

import re
import tomllib
from typing import Any

_PART = r"""(?:[\w-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_STATEMENT = re.compile(rf"(?:\s|#[^\n]*+)*+(?:\[\[?[ \t]*(?P<header>{_KEY})[ \t]*\]\]?|(?P<key>{_KEY})[ \t]*=)")
# Tokens that may contain a newline or bracket: triple-quoted strings, strings, comments; then brackets and newlines.
_VALUE = re.compile(
    r""""{3}(?:\\.|[^\\])*?"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[{]|[\]}]|\n""", re.DOTALL
)


def key_lines(text: str) -> dict[str, int]:
    """Line number, from 1, on which each `section` and `section.key` first appears.

    Keys inside an inline table are not listed.

    Args:
        text: Valid TOML.
    """
    lines: dict[str, int] = {}
    section: list[str] = []
    position = 0
    while match := _STATEMENT.match(text, position):
        if match["header"]:
            section = names = _names(match["header"])
        else:
            names = section + _names(match["key"])
        lines.setdefault(".".join(names), text.count("\n", 0, match.end()) + 1)
        position = _statement_end(text, match.end())
    return lines


def _names(key: str) -> list[str]:
    """The parts of a dotted key, without quotes."""
    tree: Any = tomllib.loads(f"{key} = 0")
    names = []
    while isinstance(tree, dict):
        ((name, tree),) = tree.items()
        names.append(name)
    return names


def _statement_end(text: str, start: int) -> int:
    """Position after the newline that ends a statement: the first newline outside strings and brackets."""
    depth = 0
    for token in _VALUE.finditer(text, start):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        elif token[0] == "\n" and not depth:
            return token.end()
    return len(text)
