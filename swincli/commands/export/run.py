"""`run`: what `swincli export` writes, and the checks before a file has its name."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from swincli.commands.export.request import ExportRequest
from swincli.commands.model_options import open_model
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.errors import CheckpointError
from swincli.exporting.agreement import Agreement, check_agreement, compare, make_probes
from swincli.exporting.graphs import Graph, GraphName, make_graph
from swincli.exporting.note import make_note
from swincli.exporting.onnx_file import DEFAULT_OPSET, PACKAGES, check_opset, open_onnx, save_onnx
from swincli.exporting.precision import PRECISIONS, Fidelity, check_fid, check_psnr, fid_between
from swincli.exporting.pt2_file import open_pt2, save_pt2
from swincli.exporting.web_page import GRAPH_FILES, Runtime, check_page_folder, find_runtime, write_page
from swincli.metrics.networks.detectors import load_detector
from swincli.metrics.networks.weight_files import choose_detector
from swincli.model.files.model_file import Model
from swincli.system.atomic_files import atomic_path, check_writable
from swincli.system.overwrite import check_overwrite
from swincli.system.packages import require_packages
from swincli.units import format_bytes


def run(request: ExportRequest, device: torch.device, console: Console, *, model: Model | None = None) -> Result:
    """Export a model.

    Args:
        request: Checked options.
        device: Where FID's network runs. The model itself is exported on the CPU.
        console: Receives messages and progress.
        model: A loaded model, used instead of `request.source`.

    Raises:
        SwincliError: the model cannot be opened or exported, a package is missing, the file differs from PyTorch, or it
            cannot be written or exists.
    """
    runtime = _check_places(request)
    opened = _on_cpu(open_model(request.source, torch.device("cpu"), request.tuned, model))
    if request.web is not None and opened.recipe.model.has_texts:
        raise CheckpointError(
            f"{opened.path}: a model of texts is not exported as a page, which has no sentence encoder",
            "Write a file: OUT.onnx takes the sentence vector as a part of its input `label`.",
        )
    facts: dict[str, Any] = {"path": None, "web": None, "images_seen": opened.images_seen}
    lines: list[str] = []
    if request.out is not None:
        facts |= _write_file(request, request.out, opened, device, console)
        lines.append(str(request.out))
    if request.web is not None and runtime is not None:
        _write_page(request.web, runtime, opened, request.tuned, console)
        facts["web"] = str(request.web)
        lines.append(str(request.web))
    return Result(facts, lines)


def _check_places(request: ExportRequest) -> Runtime | None:
    """Check files, packages and folders before any work; returns the files of `--runtime`."""
    if request.out is not None:
        check_overwrite([request.out], force=request.force, reason="exists")
        check_writable(request.out)
    if request.web is not None or (request.out is not None and request.out.suffix == ".onnx"):
        require_packages(str(request.out or request.web), *PACKAGES, extra="export")
        check_opset(request.opset or DEFAULT_OPSET)
    if request.web is None or request.runtime is None:
        return None
    check_page_folder(request.web, force=request.force)
    return find_runtime(request.runtime)


def _on_cpu(model: Model) -> Model:
    """The model, or a copy on the CPU if it is elsewhere."""
    if model.device.type == "cpu":
        return model
    by_class = None if model.w_mean_by_class is None else model.w_mean_by_class.cpu()
    generator = copy.deepcopy(model.generator).cpu()
    return replace(model, generator=generator, w_mean=model.w_mean.cpu(), w_mean_by_class=by_class)


def _write_file(
    request: ExportRequest, out: Path, model: Model, device: torch.device, console: Console
) -> dict[str, Any]:
    graph = make_graph(model, request.input)
    with atomic_path(out) as temporary:
        if out.suffix == ".pt2":
            console.say(f"{model.path}: tracing the graph from {request.input}")
            save_pt2(temporary, graph, make_note(model, graph, tuned=request.tuned), str(out))
            agreement = compare(make_probes(model, graph), open_pt2(temporary, graph), graph.output)
            check_agreement(str(out), agreement)
            fidelity = None
        else:
            agreement, fidelity = _write_onnx(request, (out, temporary), model, graph, device, console)
        size = temporary.stat().st_size
    console.say(f"{out}: {format_bytes(size)}; {_describe(agreement, fidelity)}")
    return {
        "path": str(out),
        "bytes": size,
        "inputs": list(graph.inputs),
        "output": graph.output,
        "precision": request.precision,
        "largest_difference": agreement.largest,
        "bytes_changed": agreement.bytes_changed,
        "psnr": agreement.psnr if math.isfinite(agreement.psnr) else None,
        "fid": None if fidelity is None else fidelity.fid,
    }


def _write_onnx(
    request: ExportRequest,
    places: tuple[Path, Path],
    model: Model,
    graph: Graph,
    device: torch.device,
    console: Console,
) -> tuple[Agreement, Fidelity | None]:
    """Write and check an ONNX file; `places` are its name and the path that it is written to."""
    out, temporary = places
    console.say(f"{model.path}: writing the graph from {request.input}")
    note = make_note(model, graph, precision=request.precision, tuned=request.tuned)
    save_onnx(temporary, graph, note, str(out), request.opset or DEFAULT_OPSET)
    probes = make_probes(model, graph)
    agreement = compare(probes, open_onnx(temporary, graph, str(out)), graph.output)
    check_agreement(str(out), agreement)
    if request.precision == "fp32":
        return agreement, None
    PRECISIONS[request.precision](temporary, temporary)
    exported = open_onnx(temporary, graph, str(out))
    agreement = compare(probes, exported, graph.output)
    check_psnr(str(out), request.precision, agreement)
    detector = load_detector(choose_detector(request.detector or "inception", None, None, None, console), device)
    fid = fid_between(model, graph, exported, detector, request.num_count, console)
    fidelity = Fidelity(agreement.psnr, fid, request.num_count)
    check_fid(str(out), request.precision, fidelity)
    return agreement, fidelity


def _describe(agreement: Agreement, fidelity: Fidelity | None) -> str:
    of_seeds = (
        f"within {agreement.largest:.1g} of PyTorch on 16 seeds, {agreement.bytes_changed:.2%} of the bytes differ"
    )
    if fidelity is None:
        return of_seeds
    return f"{of_seeds}; PSNR {fidelity.psnr:.1f} dB, FID {fidelity.fid:.3f} between {fidelity.images:,} images of each"


def _write_page(folder: Path, runtime: Runtime, model: Model, tuned: Path | None, console: Console) -> None:
    section, known = model.recipe.model, model.attributes
    graphs = {name: make_graph(model, name) for name in GRAPH_FILES}
    note = make_note(model, graphs["mapping"], tuned=tuned)
    sizes: dict[str, Any] = {"size": section.size, "num_ws": section.num_ws, "latent_dim": section.latent_dim}
    if known is not None:
        sizes["first"] = [None if math.isnan(value) else value for value in known.rows[0].tolist()]
    write_page(folder, runtime, note, sizes, partial(_write_graphs, model, graphs, folder, tuned))
    console.say(f"{folder}: a page; `python -m http.server -d {folder}` shows it at http://localhost:8000")


def _write_graphs(model: Model, graphs: dict[GraphName, Graph], folder: Path, tuned: Path | None, place: Path) -> None:
    for name, graph in graphs.items():
        path = place / GRAPH_FILES[name]
        shown = str(folder / path.name)
        save_onnx(path, graph, make_note(model, graph, tuned=tuned), shown)
        check_agreement(shown, compare(make_probes(model, graph), open_onnx(path, graph, shown), graph.output))
