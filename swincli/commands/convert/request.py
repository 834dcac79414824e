"""`ConvertRequest`: the options of `swincli convert`, and the checks that need no file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated

import typer

from swincli.commands.options import ForceOption, measured_images, parsed_count
from swincli.errors import UsageError

EMA, PRUNING = "Post-hoc EMA", "Pruning and mixers"

NAMED = ("builtin:", "hf:")
"""Beginnings of a model that is given by a name and not by a file; it is a .safetensors file."""
DISTILLED, MEASURED = "5k", "10k"


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """The options of `swincli convert`: input, output, and which average to reconstruct."""

    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="An original checkpoint (.pt) or a model (.safetensors, builtin:NAME or hf:OWNER/NAME); with the "
            "other options also a run.",
        ),
    ]
    dest: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Output file: .safetensors for a .pt input, .pt for a .safetensors input; else .safetensors.",
        ),
    ]
    images_seen: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Images that IN was trained on, e.g. 27.2M; default: read from the file or its name."
        ),
    ] = None
    ema_width: Annotated[
        float | None,
        typer.Option(
            metavar="WIDTH",
            help="Make a model with this EMA width, e.g. 0.07, from the power-function averages of a run (ema.power).",
            rich_help_panel=EMA,
        ),
    ] = None
    at: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Reconstruct the average as of N images, e.g. 20M; default: as of the last snapshot.",
            rich_help_panel=EMA,
        ),
    ] = None
    prune: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Remove this share of G's hidden MLP units and heads, e.g. 0.3, and distil what remains.",
            rich_help_panel=PRUNING,
        ),
    ] = None
    mixers: Annotated[
        str | None,
        typer.Option(
            metavar="SIDE=NAME,...",
            help="Exchange G's token mixers at some resolutions, e.g. 64=dw7,128=dw7, and distil the result.",
            rich_help_panel=PRUNING,
        ),
    ] = None
    data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Real images, for FID and recall before and after.", rich_help_panel=PRUNING),
    ] = None
    distil: Annotated[
        str | None,
        typer.Option(metavar="N", help=f"Images of the distillation; default: {DISTILLED}.", rich_help_panel=PRUNING),
    ] = None
    num: Annotated[
        str | None,
        typer.Option(
            metavar="N", help=f"Images that FID and recall draw; default: {MEASURED}.", rich_help_panel=PRUNING
        ),
    ] = None
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Feature network, as for `evaluate`; default: inception.", rich_help_panel=PRUNING
        ),
    ] = None
    force: ForceOption = False

    @property
    def images_seen_count(self) -> int | None:
        """`--images-seen` as a number; None if it was not given.

        Raises:
            UsageError: not a number of images.
        """
        return parsed_count("--images-seen", self.images_seen)

    @property
    def at_count(self) -> int | None:
        """`--at` as a number of images; None if it was not given.

        Raises:
            UsageError: not a number of images.
        """
        return parsed_count("--at", self.at)

    @property
    def distil_count(self) -> int:
        """`--distil` as a number of images.

        Raises:
            UsageError: not a number of images.
        """
        return parsed_count("--distil", self.distil or DISTILLED) or 0

    @property
    def num_count(self) -> int:
        """`--num` as a number of images.

        Raises:
            UsageError: not a number of images, or below 2.
        """
        return measured_images(self.num or MEASURED)

    def check(self) -> None:
        """Check the file formats, and which options go together.

        Raises:
            UsageError: an option cannot be read, or does not fit the input and output.
        """
        _ = self.images_seen_count, self.at_count, self.distil_count
        self._check_pruning()
        if self.prune is not None or self.mixers is not None:
            return
        if self.ema_width is not None:
            if self.images_seen is not None:
                raise UsageError("--images-seen: cannot be combined with --ema-width", "Use --at to choose a moment.")
            if self.dest.suffix != ".safetensors":
                hint = "Convert that file to .pt in a second step."
                raise UsageError(f"{self.dest}: must end in .safetensors with --ema-width", hint)
            return
        if self.at is not None:
            raise UsageError("--at: needs --ema-width", "Add --ema-width 0.07.")
        if {self._source_suffix, self.dest.suffix} != {".pt", ".safetensors"}:
            raise UsageError(
                f"{self.source} to {self.dest}: one must be a .pt file, the other a .safetensors file",
                "For example swincli convert FFHQ_256.pt ffhq256.safetensors",
            )

    @property
    def _source_suffix(self) -> str:
        """The suffix of the input; that of a model's name, which may have a dot as `hf:me/cats-v1.0`, is its file's."""
        suffix = PurePath(self.source).suffix
        named = self.source.startswith(NAMED) and suffix not in (".pt", ".safetensors")
        return ".safetensors" if named else suffix

    def _check_pruning(self) -> None:
        if self.prune is None and self.mixers is None:
            given = {"--data": self.data, "--distil": self.distil, "--num": self.num, "--detector": self.detector}
            for option, value in given.items():
                if value is not None:
                    raise UsageError(f"{option}: needs --prune or --mixers", "Add --prune 0.3, or --mixers 64=dw7.")
            return
        if self.prune is not None and self.mixers is not None:
            raise UsageError("--mixers: cannot be combined with --prune", "Do one of them first.")
        option = "--mixers" if self.prune is None else f"--prune {self.prune:g}"
        if self.prune is not None and not 0 < self.prune < 1:
            raise UsageError(f"--prune {self.prune:g}: must be above 0 and below 1", "For example --prune 0.3")
        if self.ema_width is not None or self.at is not None or self.images_seen is not None:
            hint = "Make that model first, and change it in a second step."
            raise UsageError(f"--ema-width, --at, --images-seen: cannot be combined with {option}", hint)
        if self.data is None:
            hint = "FID and recall are measured before and after, because the change costs quality and variety."
            raise UsageError(f"{option}: needs --data", hint)
        if self.dest.suffix != ".safetensors":
            hint = "The release has no such networks."
            raise UsageError(f"{self.dest}: must end in .safetensors with {option.split()[0]}", hint)
        _ = self.num_count
