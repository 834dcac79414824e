"""What a command line of `swincli sample` asks for, and whether that can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from swincli.commands.options import read_count
from swincli.errors import UsageError
from swincli.units import LARGEST_SEED, MOST_SEEDS, parse_grid, parse_seeds

_FOR_EXAMPLE = "For example --seeds 0-31,45"


class Format(StrEnum):
    """What the images are written as."""

    png = "png"
    jpg = "jpg"
    webp = "webp"
    npz = "npz"
    zip = "zip"
    store = "store"


class SaveSpace(StrEnum):
    """Which codes of the images are saved."""

    w_plus = "w_plus"
    w = "w"
    z = "z"


@dataclass(frozen=True)
class Request:
    """The options of `swincli sample`; seeds and the grid's columns and rows as numbers, all else as it was given."""

    seeds: list[int] | None
    latents: Path | None
    mix: str | None
    checkpoint: str | None
    tuned: Path | None
    of_class: str | None
    truncation: float
    truncation_layers: int | None
    truncation_centres: int | None
    out: Path
    format: Format
    grid: tuple[int, int] | None
    grid_labels: bool
    save_latents: Path | None
    save_space: SaveSpace | None
    sweep: str | None
    sweep_steps: int
    sweep_range: float
    attention: bool
    attention_layers: str | None
    attention_at: list[str]
    batch: int | None
    force: bool

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: options that contradict each other, or that go with others that are not there.
        """
        given = [option is not None for option in (self.seeds, self.latents, self.mix)]
        if sum(given) != 1:
            raise UsageError("--seeds, --latents, --mix: exactly one of them says which images", _FOR_EXAMPLE)
        if self.latents is not None and (self.of_class or self.attention):
            raise UsageError("--class, --attention: they go with --seeds, not with --latents", "Leave them out.")
        if self.mix is not None and (self.grid or self.attention or self.sweep):
            hint = "Leave them out; --mix draws a grid of its own."
            raise UsageError("--grid, --attention, --sweep: they do not go with --mix", hint)
        if (self.attention_layers or self.attention_at) and not self.attention:
            raise UsageError("--attention-layers, --attention-at: no attention is drawn", "Add --attention.")
        if self.grid_labels and not self.grid:
            raise UsageError("--grid-labels: no grid is drawn", "Add --grid 8x4.")
        if self.save_latents is None and self.save_space:
            raise UsageError(f"--save-space {self.save_space}: no codes are saved", "Add --save-latents FILE.npz.")
        if self.save_latents is not None and self.save_latents.suffix != ".npz":
            hint = "For example --save-latents codes.npz"
            raise UsageError(f"--save-latents {self.save_latents}: the file's name must end in .npz", hint)
        if not (math.isfinite(self.sweep_range) and self.sweep_range > 0):
            raise UsageError(f"--sweep-range {self.sweep_range}: not a distance", "Give one above 0, such as 3.")


def read_seeds(text: str | None, count: str | None) -> list[int] | None:
    """Seeds as --seeds and --count ask for them; None where neither does.

    Raises:
        UsageError: no list of seeds, no number of images, or a number beside more than a first seed.
    """
    try:
        listed = None if text is None else parse_seeds(text)
    except ValueError as error:
        raise UsageError(f"--seeds {text}: {error}", _FOR_EXAMPLE) from None
    number = read_count("--count", count)
    if number is None:
        return listed
    if not 1 <= number <= MOST_SEEDS:
        raise UsageError(f"--count {count}: from 1 to ten million images can be drawn", "For example --count 50k")
    if listed is not None and len(listed) > 1:
        hint = "With --count, --seeds names the first one; else leave out --count."
        raise UsageError(f"--count {count}: --seeds {text} names {len(listed):,} seeds already", hint)
    first = listed[0] if listed else 0
    if first + number - 1 > LARGEST_SEED:
        raise UsageError(
            f"--count {count}: from seed {first} on, it goes beyond the largest one, {LARGEST_SEED}",
            "Start lower, or draw fewer.",
        )
    return list(range(first, first + number))


def read_grid(text: str | None) -> tuple[int, int] | None:
    """Columns and rows of --grid.

    Raises:
        UsageError: no such size.
    """
    try:
        return None if text is None else parse_grid(text)
    except ValueError as error:
        raise UsageError(f"--grid {text}: {error}", "For example --grid 8x4") from None
