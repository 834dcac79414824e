"""Checkpoints of StyleNAT (Walton et al., 2022), whose networks are StyleSwin's with neighbourhood attention.

Its generator's weights are brought to the names of the original release. Its table of relative positions is
`[h, 2k - 1, 2k - 1]`, with entries key - query, the reverse of Swin's. There are three kinds of attention layers:

- 4 px: full attention with one table, `rpb`. It becomes the two tables of double attention.
- legacy, with two equal groups of heads: `rpb0` and `rpb1`.
- with any number of groups: `rpb.0`, `rpb.1`, ...

At 8 px every group has dilation 1, so its tables are joined.
"""

from __future__ import annotations

import argparse
import re
from typing import Any

import torch
from torch import Tensor

from swincli.errors import CheckpointError
from swincli.model.mixers.neighbourhood import dilations_at
from swincli.recipe.networks import ModelSection

ATTENTION = re.compile(r"(layers\.(\d+)\.blocks\.\d+)\.attn\.(.+)")
TABLE = re.compile(r"rpb\.?(\d+)")
FULL, WHOLE = 0, 1  # the levels of 4 px, and of 8 px, where a neighbourhood's map is one tile
OWN_INDEX = "relative_position_index"  # follows from the size


def is_stylenat(network: dict[str, Any]) -> bool:
    """Whether the weights of a generator are StyleNAT's."""
    return any(match and match[3].startswith("rpb") for match in map(ATTENTION.fullmatch, network))


def parts_of(content: dict[str, Any]) -> dict[str, Any]:
    """The networks and arguments of a checkpoint by the release's names: StyleNAT's later files nest the networks."""
    nested = content.get("state_dicts")
    return {**nested, "args": content.get("args")} if isinstance(nested, dict) else content


def to_release(network: dict[str, Any]) -> dict[str, Any]:
    """Weights by the names that `generator_layout` gives neighbourhood attention; what is unknown keeps its name."""
    renamed: dict[str, Any] = {}
    groups: dict[str, dict[int, Any]] = {}
    for key, value in network.items():
        match = ATTENTION.fullmatch(key)
        if match is None:
            renamed[key] = value
            continue
        block, level, name = match[1], int(match[2]), match[3]
        number = TABLE.fullmatch(name)
        if name.startswith(("qkv.", "proj.")):
            renamed[f"{block}.{name}"] = value
        elif name == "rpb" and level == FULL and _is_table(value):
            renamed |= {f"{block}.attn.{half}.relative_position_bias_table": table for half, table in _halves(value)}
        elif number and level > FULL and _is_table(value):
            groups.setdefault(block, {})[int(number[1])] = value
        elif name != OWN_INDEX:
            renamed[key] = value
    for block, tables in groups.items():
        in_order = [tables[number] for number in sorted(tables)]
        same = len({table.shape[1:] for table in in_order}) == 1
        if block.startswith(f"layers.{WHOLE}.") and same:
            in_order = [torch.cat(in_order)]
        renamed |= {f"{block}.attn.rpb.{number}": table for number, table in enumerate(in_order)}
    return renamed


def check_dilations(path: object, model: ModelSection, arguments: Any) -> None:
    """Compare the dilations with those that the weights were read for, if the arguments name them.

    The weights' shapes give the number of dilations only.

    Raises:
        CheckpointError: they are others.
    """
    given = _lists(_named(arguments, "dilations"))
    for side, found in zip(model.resolutions, given, strict=False):
        wanted = dilations_at(model, side)
        if wanted and (sorted(set(found)) if len(wanted) == 1 else found) != list(wanted):
            raise CheckpointError(
                f"{path}: its dilations at {side} px are {list(found)}, not {list(wanted)}",
                "swincli has StyleNAT's published dilations: 1 and side / 8, or all powers of two up to that.",
            )


def images_seen(arguments: Any) -> int:
    """Images that StyleNAT's later files note; 0 if there is no such note."""
    found = _named(arguments, "nimages")
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def _named(arguments: Any, name: str, depth: int = 4) -> Any:
    """The first value of this name in a namespace or in dictionaries nested up to `depth`; None if there is none."""
    values = vars(arguments) if isinstance(arguments, argparse.Namespace) else arguments
    if not isinstance(values, dict) or not depth:
        return None
    inner = (found for value in values.values() if (found := _named(value, name, depth - 1)) is not None)
    return values[name] if name in values else next(inner, None)


def _lists(value: Any) -> list[list[int]]:
    """Lists of whole numbers; empty for anything else."""
    rows = value if isinstance(value, list | tuple) else []
    usable = all(isinstance(row, list | tuple) and all(isinstance(each, int) for each in row) for row in rows)
    return [list(row) for row in rows] if usable else []


def _is_table(value: Any) -> bool:
    usable = isinstance(value, Tensor) and value.is_floating_point() and value.layout == torch.strided
    return usable and value.ndim == 3


def _halves(table: Tensor) -> list[tuple[int, Tensor]]:
    """The tables of two halves of the heads, `[(2k - 1)², h / 2]`, with entries query - key."""
    rows = table.flip((1, 2)).flatten(1).t()
    return list(enumerate(rows.tensor_split(2, dim=1)))
