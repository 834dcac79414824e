"""`ExportRequest`: the options of `swincli export`, and the checks that need no model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from swincli.commands.options import ForceOption, TunedOption, measured_images
from swincli.errors import UsageError

GRAPH, GATE, PAGE = "Graph", "Lower precision", "Page"

FORMATS = (".onnx", ".pt2")
MEASURED = "1k"

OLDEST_OPSET = 18
"""PyTorch's exporter writes no older version of ONNX's operators."""


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """The options of `swincli export`: which model, which graph of it, and which files."""

    source: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Run folder, model file, builtin:NAME or hf:OWNER/NAME.")
    ]
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Output file, .onnx or .pt2; may be left out with --web.")
    ] = None
    tuned: TunedOption = None
    input: Annotated[
        Literal["z", "w-plus"],
        typer.Option(
            help="Code that the graph takes: z, or w+ for mixing and projected pictures.", rich_help_panel=GRAPH
        ),
    ] = "z"
    opset: Annotated[
        int | None,
        typer.Option(metavar="N", help="Version of ONNX's operators, at least 18; default: 20.", rich_help_panel=GRAPH),
    ] = None
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="Precision of the weights, for .onnx.", rich_help_panel=GATE),
    ] = "fp32"
    num: Annotated[
        str | None,
        typer.Option(metavar="N", help=f"Images of FID between both sides; default: {MEASURED}.", rich_help_panel=GATE),
    ] = None
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Feature network of FID, as for `evaluate`; default: inception.",
            rich_help_panel=GATE,
        ),
    ] = None
    web: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a page that runs the model in a browser.", rich_help_panel=PAGE),
    ] = None
    runtime: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the npm package onnxruntime-web, for --web.", rich_help_panel=PAGE),
    ] = None
    force: ForceOption = False

    @property
    def num_count(self) -> int:
        """`--num` as a number of images.

        Raises:
            UsageError: not a number of images, or below 2.
        """
        return measured_images(self.num or MEASURED)

    def check(self) -> None:
        """Check the file's name, and which options go together.

        Raises:
            UsageError: an option cannot be read, contradicts another, or needs another.
        """
        if self.out is None and self.web is None:
            raise UsageError("OUT, --web: give a file, a folder for a page, or both", "For example model.onnx")
        if self.out is not None and self.out.suffix not in FORMATS:
            raise UsageError(f"{self.out}: the file name must end in .onnx or .pt2", "For example model.onnx")
        if (self.web is None) != (self.runtime is None):
            given, other = ("--web", "--runtime") if self.runtime is None else ("--runtime", "--web")
            raise UsageError(f"{given}: needs {other}", "For example --web site --runtime node_modules/onnxruntime-web")
        if self.opset is not None and self.opset < OLDEST_OPSET:
            hint = f"PyTorch's exporter writes {OLDEST_OPSET} and later."
            raise UsageError(f"--opset {self.opset}: too old", hint)
        is_onnx = self.out is not None and self.out.suffix == ".onnx"
        for option, is_given in (("--precision", self.precision != "fp32"), ("--opset", self.opset is not None)):
            if is_given and not is_onnx:
                raise UsageError(
                    f"{option}: only for an .onnx file", "Leave it out, or name a file that ends in .onnx."
                )
        if self.out is None and self.input != "z":
            raise UsageError("--input: needs OUT", "The page has both graphs.")
        self._check_gate()

    def _check_gate(self) -> None:
        for option, value in (("--num", self.num), ("--detector", self.detector)):
            if value is not None and self.precision == "fp32":
                raise UsageError(f"{option}: needs --precision fp16 or int8", "float32 files are PyTorch's images.")
        _ = self.num_count
