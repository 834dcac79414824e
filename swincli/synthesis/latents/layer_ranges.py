"""Which codes of w+ are meant: coarse, middle and fine ones, or their numbers.

Two codes go with every resolution from 4 px on. As in StyleGAN (Karras et al., 2019, section 3.1), those of 4 and 8 px
are coarse (pose and shape), of 16 and 32 px middle (features), and all others fine (colours and texture).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

COARSE, MIDDLE = 4, 8  # where they end
NAMES = ("coarse", "middle", "fine", "all")


def parse_code_layers(text: str, num_ws: int) -> list[int]:
    """Read which of L codes are meant, in order and each once: "coarse", "middle,fine", "0-3,7", "all".

    Raises:
        ValueError: it says something else, or the model has no such code; the message stands alone.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        chosen.update(_part(part.strip().lower(), num_ws))
    return sorted(chosen)


def format_code_layers(layers: Sequence[int]) -> str:
    """Write numbers of codes, in order and each once, with ranges joined: [0, 1, 2, 5] -> "0-2,5"."""
    spans: list[list[int]] = []
    for layer in layers:
        if spans and layer == spans[-1][1] + 1:
            spans[-1][1] = layer
        else:
            spans.append([layer, layer])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _part(text: str, num_ws: int) -> range:
    named = {
        "coarse": range(min(COARSE, num_ws)),
        "middle": range(COARSE, min(MIDDLE, num_ws)),
        "fine": range(MIDDLE, num_ws),
        "all": range(num_ws),
    }
    if text in named:
        if not named[text]:
            raise ValueError(f"this model has no {text} layers, only 0-{num_ws - 1}")
        return named[text]
    match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text)
    if match is None:
        raise ValueError(f"{text!r} is none of {', '.join(NAMES)}, and no layers such as 0-3 or 0-3,7")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise ValueError(f"the layers {text} run backwards; write {last}-{first}")
    if last >= num_ws:
        raise ValueError(f"this model has layers 0-{num_ws - 1}, and no {last}")
    return range(first, last + 1)
