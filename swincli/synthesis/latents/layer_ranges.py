"""Selections of the codes of w+ by name (coarse, middle, fine, all) or number ("0-3,7").

Each resolution from 4 px on has two codes. As in StyleGAN (Karras et al., 2019, section 3.1), codes of 4 and 8 px are
coarse (pose and shape), codes of 16 and 32 px middle (features), and the rest fine (colours and texture).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CODES_OF_A_LEVEL = 2
COARSE_END, MIDDLE_END = 4, 8  # first code after the coarse ones, and after the middle ones
NAMES = ("coarse", "middle", "fine", "all")


def parse_code_layers(text: str, num_ws: int) -> list[int]:
    """Parse a selection of L codes, sorted and without repeats: "coarse", "middle,fine", "0-3,7", "all".

    Raises:
        ValueError: the text cannot be parsed, or the model has no such code; the message is complete.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        chosen.update(_parse_range(part.strip().lower(), num_ws))
    return sorted(chosen)


def format_code_layers(layers: Sequence[int]) -> str:
    """Format sorted code numbers, with ranges joined: [0, 1, 2, 5] -> "0-2,5"."""
    spans: list[list[int]] = []
    for layer in layers:
        if spans and layer == spans[-1][1] + 1:
            spans[-1][1] = layer
        else:
            spans.append([layer, layer])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _parse_range(text: str, num_ws: int) -> range:
    named = {
        "coarse": range(min(COARSE_END, num_ws)),
        "middle": range(COARSE_END, min(MIDDLE_END, num_ws)),
        "fine": range(MIDDLE_END, num_ws),
        "all": range(num_ws),
    }
    if text in named:
        if not named[text]:
            raise ValueError(f"this model has no {text} layers, only 0-{num_ws - 1}")
        return named[text]
    match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text)
    if match is None:
        raise ValueError(f"{text!r} is not one of {', '.join(NAMES)}, and not a range such as 0-3 or 0-3,7")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise ValueError(f"layers {text} are in the wrong order; write {last}-{first}")
    if last >= num_ws:
        raise ValueError(f"this model has layers 0-{num_ws - 1}, not {last}")
    return range(first, last + 1)
