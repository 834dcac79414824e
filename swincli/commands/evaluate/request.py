"""`EvaluateRequest`: the options of `swincli evaluate`, and the checks that read no images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from swincli.commands.options import BatchOption, ForceOption, parsed_count, refuse_given, require_truncation
from swincli.commands.typer_command import GivenOptions
from swincli.errors import UsageError

if TYPE_CHECKING:
    from swincli.metrics.presets import ImageCounts

GENERATED, REFERENCE, MEASUREMENT, OUTPUT = "Images to judge", "Reference", "Measurement", "Output"

COMPARE_OPTIONS = ("--compare", "--plots", "--force", "--json", "--quiet", "--debug")
"""Options that can be combined with --compare."""


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """The options of `swincli evaluate`: the images to judge, the reference, the metrics, and the output."""

    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs to compare; needs --compare.")] = None
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|FILE",
            help="Run folder, model file, builtin:NAME or hf:OWNER/NAME; default: the newest run.",
            rich_help_panel=GENERATED,
        ),
    ] = None
    images: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|STORE|ZIP", help="Judge these images instead of a model's.", rich_help_panel=GENERATED
        ),
    ] = None
    num: Annotated[
        str | None,
        typer.Option(metavar="N", help="Number of images to judge, e.g. 10k; default: 50k.", rich_help_panel=GENERATED),
    ] = None
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Uses seeds SEED*NUM to SEED*NUM+NUM-1; with --images, draws the random subset.",
            rich_help_panel=GENERATED,
        ),
    ] = 0
    truncation: Annotated[
        float, typer.Option(min=0, help="Below 1: more typical, less varied images.", rich_help_panel=GENERATED)
    ] = 1.0
    data: Annotated[
        str | None,
        typer.Option(
            metavar="STORE|DIR|ZIP",
            help="Real images; all are used, and their statistics are cached.",
            rich_help_panel=REFERENCE,
        ),
    ] = None
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Statistics instead of --data: from --save-reference, or mu and sigma of another program.",
            rich_help_panel=REFERENCE,
        ),
    ] = None
    num_reference: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Number of real images, drawn from --data with --seed; default: all.",
            rich_help_panel=REFERENCE,
        ),
    ] = None
    save_reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Save the statistics of --data; without --images or --checkpoint, do nothing else.",
            rich_help_panel=REFERENCE,
        ),
    ] = None
    metric: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Metrics, separated by commas, e.g. fid,kid.", rich_help_panel=MEASUREMENT),
    ] = "fid"
    by_class: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help='FID inside each class too: the name of an attribute, or "class" for a model with classes. '
            "Needs --data with the same labels.",
            rich_help_panel=MEASUREMENT,
        ),
    ] = None
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Standard image counts: styleswin (50k generated, 50k real) or full (50k generated, all real).",
            rich_help_panel=MEASUREMENT,
        ),
    ] = None
    detector: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Feature network: inception, efficientnet, gist, or a TorchScript file.",
            rich_help_panel=MEASUREMENT,
        ),
    ] = "inception"
    detector_size: Annotated[
        int | None,
        typer.Option(
            min=8,
            metavar="N",
            help="Input side of a TorchScript detector in pixels; default: 224.",
            rich_help_panel=MEASUREMENT,
        ),
    ] = None
    detector_pixels: Annotated[
        Literal["imagenet", "clip", "inception", "0-1", "0-255"] | None,
        typer.Option(
            help="Pixel normalisation of a TorchScript detector; default: imagenet.", rich_help_panel=MEASUREMENT
        ),
    ] = None
    detector_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="TorchScript file to use for Inception's weights.", rich_help_panel=MEASUREMENT
        ),
    ] = None
    intervals: Annotated[
        bool | None,
        typer.Option(
            "--intervals/--no-intervals",
            help="Add 95 % confidence intervals; default: where a metric has few images.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None
    plots: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write plots and example images of the metrics.", rich_help_panel=OUTPUT),
    ] = None
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Compare what the runs RUN ... have measured.", rich_help_panel=OUTPUT),
    ] = False
    batch: BatchOption = None
    force: ForceOption = False
    given: GivenOptions = ()

    @cached_property
    def numbers(self) -> ImageCounts:
        """How many images of each side are used, by `--num`, `--num-reference` and `--protocol`.

        Raises:
            UsageError: a number or the protocol cannot be read, or they contradict each other or `--truncation`.
        """
        from swincli.metrics.presets import choose_counts

        counts = parsed_count("--num", self.num), parsed_count("--num-reference", self.num_reference)
        return choose_counts(self.protocol, *counts, self.truncation)

    @cached_property
    def metrics(self) -> list[str]:
        """Names of the metrics, from `--metric`.

        Raises:
            UsageError: there is no such metric, or none is named.
        """
        from swincli.metrics.by_label import BY_CLASS
        from swincli.metrics.registry import parse_metrics

        found = parse_metrics(self.metric)
        return found if self.by_class is None or BY_CLASS in found else [*found, BY_CLASS]

    @property
    def judges_images(self) -> bool:
        """Whether `--images` or `--checkpoint` names images to judge."""
        return self.images is not None or self.checkpoint is not None

    def check(self) -> None:
        """Check options that can be checked without reading images.

        Raises:
            UsageError: an option cannot be read, contradicts another, or is missing.
        """
        if self.compare:
            self._check_compare()
            return
        if self.runs:
            hint = f"Did you mean --checkpoint {self.runs[0]}, or --compare {self.runs[0]}?"
            raise UsageError(f"{self.runs[0]}: unexpected argument", hint)
        require_truncation(self.truncation)
        _ = self.numbers
        if self.images is not None and self.checkpoint is not None:
            raise UsageError("--images and --checkpoint: only one of them can be judged", "Leave one of them out.")
        if self.images is not None and self.truncation != 1.0:
            raise UsageError("--truncation: cannot be combined with --images", "Leave it out.")
        self._check_reference()
        if self.save_reference is not None and not self.judges_images:
            hint = "Name images to judge by --images or --checkpoint, or leave it out."
            unused = ["--num", "--truncation", "--plots"]
            refuse_given(self.given, unused, "where --save-reference does all", hint)
        _ = self.metrics

    def _check_reference(self) -> None:
        if self.data is None and self.reference is None:
            hint = "--data takes a store, folder or zip of real images, --reference a file of their statistics."
            raise UsageError("--data or --reference: one of them is required", hint)
        if self.data is not None and self.reference is not None:
            raise UsageError("--data and --reference: only one of them can be the reference", "Leave one of them out.")
        if self.reference is not None and self.save_reference is not None:
            raise UsageError("--save-reference: needs real images, by --data", "Leave out --reference.")
        if self.reference is not None and self.num_reference is not None:
            raise UsageError("--num-reference: cannot be combined with --reference", "Use --data.")
        if self.save_reference is not None and self.save_reference.suffix != ".npz":
            hint = "For example --save-reference reference.npz"
            raise UsageError(f"--save-reference {self.save_reference}: the file name must end in .npz", hint)

    def _check_compare(self) -> None:
        foreign = [option for option in self.given if option not in COMPARE_OPTIONS]
        if foreign:
            raise UsageError(
                f"{', '.join(foreign)}: cannot be combined with --compare, which reads finished measurements",
                f"Leave {'it' if len(foreign) == 1 else 'them'} out, or measure first without --compare.",
            )
        if not self.runs:
            raise UsageError("--compare: needs runs", "For example swincli evaluate --compare runs/a runs/b")
