"""Presets of `--protocol`: the number of fakes and of reals in published protocols."""

from __future__ import annotations

from dataclasses import dataclass

from swincli.errors import UsageError, did_you_mean

DEFAULT_NUM = 50_000


@dataclass(frozen=True)
class Preset:
    """A protocol of published figures.

    Attributes:
        num: Number of fakes, without truncation.
        num_reference: Number of reals, drawn at random; None for all.
    """

    num: int
    num_reference: int | None


PRESETS = {
    "styleswin": Preset(num=50_000, num_reference=50_000),  # Zhang et al., CVPR 2022, section 4.1
    "full": Preset(num=50_000, num_reference=None),  # StyleGAN's fid50k_full
}


@dataclass(frozen=True)
class ImageCounts:
    """Number of images of each side.

    Attributes:
        num: Number of fakes.
        num_reference: Number of reals; None for all.
        preset: Name in the protocol; None without a preset.
    """

    num: int
    num_reference: int | None
    preset: str | None


def choose_counts(name: str | None, num: int | None, num_reference: int | None, truncation: float) -> ImageCounts:
    """The numbers of images from a preset and the options; options override the preset, and its name then lists them.

    Args:
        name: A key of `PRESETS`, or None.
        num: `--num`, if given.
        num_reference: `--num-reference`, if given.
        truncation: Truncation of the fakes; 1 is none.

    Raises:
        UsageError: an unknown preset, an option that contradicts it, or a number below 2.
    """
    for option, given in (("--num", num), ("--num-reference", num_reference)):
        if given is not None and given < 2:
            raise UsageError(f"{option} {given}: metrics need at least 2 images")
    if name is None:
        return ImageCounts(num or DEFAULT_NUM, num_reference, None)
    if name not in PRESETS:
        message = f'--protocol: unknown protocol "{name}"{did_you_mean(name, PRESETS)}'
        raise UsageError(message, f"Choose {' or '.join(PRESETS)}.")
    preset = PRESETS[name]
    if truncation != 1.0:
        raise UsageError(f"--protocol {name}: cannot be combined with --truncation", "Remove one of them.")
    if preset.num_reference is None and num_reference is not None:
        raise UsageError(
            f"--protocol {name}: uses all reals and cannot be combined with --num-reference {num_reference}",
            "Remove one of them.",
        )
    changed = [
        f"{option} {given}"
        for option, given, usual in (("num", num, preset.num), ("num-reference", num_reference, preset.num_reference))
        if given is not None and given != usual
    ]
    return ImageCounts(
        num or preset.num, num_reference or preset.num_reference, f"{name} ({', '.join(changed)})" if changed else name
    )
