"""Known protocols by name: how many fakes are judged, and against how many real pictures."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from swincli.errors import UsageError

DEFAULT_NUM = 50_000


@dataclass(frozen=True)
class Preset:
    """A protocol that published figures follow.

    Attributes:
        num: Fakes, drawn without truncation.
        num_reference: Real pictures, drawn at random; None for all that there are.
    """

    num: int
    num_reference: int | None


PRESETS = {
    "styleswin": Preset(num=50_000, num_reference=50_000),  # Zhang et al., CVPR 2022, section 4.1
    "full": Preset(num=50_000, num_reference=None),  # StyleGAN's fid50k_full
}


@dataclass(frozen=True)
class Numbers:
    """How many pictures to take of each side.

    Attributes:
        num: Fakes.
        num_reference: Real pictures; None for all.
        preset: What the protocol calls it; None where no preset was asked for.
    """

    num: int
    num_reference: int | None
    preset: str | None


def choose_numbers(name: str | None, num: int | None, num_reference: int | None, truncation: float) -> Numbers:
    """The numbers that a preset and the options beside it mean; an option wins, and the name then says so.

    Args:
        name: A row of the table, or None.
        num: `--num`, if given.
        num_reference: `--num-reference`, if given.
        truncation: Of the fakes; 1 is none.

    Raises:
        UsageError: an unknown preset, an option that contradicts it, or a number below 2.
    """
    for option, given in (("--num", num), ("--num-reference", num_reference)):
        if given is not None and given < 2:
            raise UsageError(f"{option} {given}: measuring takes at least 2 pictures")
    if name is None:
        return Numbers(num or DEFAULT_NUM, num_reference, None)
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.5)
        guess = f'Did you mean "{near[0]}"? ' if near else ""
        raise UsageError(f'--protocol: unknown protocol "{name}"', f"{guess}There are: {', '.join(PRESETS)}.")
    preset = PRESETS[name]
    if truncation != 1.0:
        raise UsageError(f"--protocol {name}: its images are not truncated", "Leave out --truncation or --protocol.")
    if preset.num_reference is None and num_reference is not None:
        raise UsageError(
            f"--protocol {name}: takes all real pictures, and --num-reference {num_reference} does not",
            "Leave out one of them.",
        )
    changed = [
        f"{option} {given}"
        for option, given, usual in (("num", num, preset.num), ("num-reference", num_reference, preset.num_reference))
        if given is not None and given != usual
    ]
    return Numbers(
        num or preset.num, num_reference or preset.num_reference, f"{name} ({', '.join(changed)})" if changed else name
    )
