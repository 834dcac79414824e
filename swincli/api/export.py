"""`swincli.export`: the files of `swincli export`, from a model in memory or on disk."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from swincli.api.model import LoadedModel, as_loaded
from swincli.commands.export.request import ExportRequest
from swincli.commands.export.run import run
from swincli.console import Console


def export(
    model: LoadedModel | str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    input: Literal["z", "w-plus"] = "z",  # noqa: A002
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    opset: int | None = None,
    num: int | None = None,
    detector: str | None = None,
    web: str | PathLike[str] | None = None,
    runtime: str | PathLike[str] | None = None,
    force: bool = False,
    quiet: bool = True,
) -> dict[str, Any]:
    """Write a model for other programs, as `swincli export` does.

    Args:
        model: A model of `swincli.load_model`, or what that takes.
        out: The file, `.onnx` or `.pt2`; None for a page alone.
        input: The code that the graph takes: "z" `[N, latent_dim]` or "w-plus" `[N, num_ws, latent_dim]`.
        precision: Of the weights, for `.onnx`. Below "fp32", PSNR and FID must pass a gate.
        opset: Version of ONNX's operators, at least 18.
        num: Images of each side for that FID; 1,000 by default.
        detector: Its feature network, as after `--detector`; "inception" by default.
        web: Folder for a page that runs the model in a browser.
        runtime: Folder of the npm package onnxruntime-web, for the page.
        force: Overwrite an existing file or page.
        quiet: Print nothing but warnings, which go to stderr.

    Returns:
        The object of `swincli export --json`: "path", "web", "largest_difference", "psnr", "fid" and more.

    Raises:
        UsageError: options that contradict each other.
        SwincliError: a package is missing, the graph differs from PyTorch, or a file cannot be written or exists.
    """
    out, web, runtime = (None if place is None else Path(place) for place in (out, web, runtime))
    request = ExportRequest(
        source=str(model.path) if isinstance(model, LoadedModel) else fspath(model),
        out=out,
        input=input,
        precision=precision,
        opset=opset,
        num=None if num is None else str(num),
        detector=detector,
        web=web,
        runtime=runtime,
        force=force,
    )
    request.check()
    core = as_loaded(model).core
    return run(request, core.device, Console(quiet=quiet), model=core).facts
