"""Where the keys of a recipe were set: file and line, or an override, for errors that name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Origins:
    """Origins of a recipe's keys. They do not tell two recipes apart.

    Attributes:
        lines: Origin of each `section` and `section.key`, such as "my.toml:12" or "--set".
    """

    lines: Mapping[str, str] = field(default_factory=dict, compare=False)


def key_with_line(location: Sequence[str], lines: Mapping[str, str]) -> str:
    """A key with its file and line, or those of its section: "train.batch (my.toml:12)"."""
    key = ".".join(location)
    origin = lines.get(key) or lines.get(location[0])
    return f"{key} ({origin})" if origin else key
