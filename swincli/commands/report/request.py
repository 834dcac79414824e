"""`ReportRequest`: the options of `swincli report`, and the checks that need no file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from swincli.commands.options import ForceOption, refuse_given
from swincli.commands.typer_command import GivenOptions
from swincli.errors import UsageError

SAMPLES = 64
SUFFIXES = {False: (".html", ".htm"), True: (".md",)}
"""Suffixes of the output, by `--markdown`."""


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """The options of `swincli report`: the run, the form, and what is looked at."""

    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Output file; default: RUN/report.html."),
    ] = None
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a short form in Markdown instead; -o writes it to a .md file.")
    ] = False
    base: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE", help="Recipe to compare with; default: the shipped one that differs in the fewest keys."
        ),
    ] = None
    samples: Annotated[
        int,
        typer.Option(
            min=0,
            max=4096,
            metavar="N",
            help="Images to draw for the spectrum and the nearest training images; 0 opens no model.",
        ),
    ] = SAMPLES
    force: ForceOption = False
    given: GivenOptions = ()

    @property
    def page(self) -> Path | None:
        """The file to write; None to print the Markdown."""
        return self.out if self.out is not None or self.markdown else self.run / "report.html"

    def check(self) -> None:
        """Check the suffix of the output, and that options have an effect.

        Raises:
            UsageError: it is not that of the form, or one has none.
        """
        if self.markdown:
            hint = "Leave it out: Markdown has no pictures, and no model is opened."
            refuse_given(self.given, ["--samples"], "with --markdown", hint)
        wanted = SUFFIXES[self.markdown]
        if self.out is not None and self.out.suffix.lower() not in wanted:
            example = self.out.with_suffix(wanted[0])
            raise UsageError(f"--out {self.out}: the name must end in {wanted[0]}", f"For example -o {example}")
