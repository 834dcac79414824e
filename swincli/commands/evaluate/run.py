"""`run` and `compare`: what `swincli evaluate` measures, records and returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from swincli.commands.evaluate.request import EvaluateRequest
from swincli.commands.evaluate.tables import comparison_table, result_table
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.data.store.reader import Store, is_store
from swincli.errors import DataError, ResourceError
from swincli.metrics.compare import compare_runs, read_run
from swincli.metrics.evaluate import Evaluation, evaluate, save_reference
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import DetectorWeights, choose_detector
from swincli.metrics.plots import PLOT_NOTE
from swincli.metrics.presets import PRESETS
from swincli.metrics.protocol import append_record
from swincli.metrics.registry import METRICS
from swincli.metrics.streams.appearance import compare_appearances
from swincli.metrics.streams.images import (
    ImageSet,
    ImageStream,
    draw_subset,
    fake_seeds,
    model_record,
    open_images,
    sets_in_folders,
    stream_batches,
    stream_subset,
)
from swincli.metrics.streams.labels import Labelled
from swincli.metrics.streams.reference_files import ReferenceStatistics, is_own_statistics, open_statistics
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import Model, load_model
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.output.provenance import read_note
from swincli.synthesis.sampling import generate
from swincli.system.distributed import Processes
from swincli.system.overwrite import check_overwrite

COMPARISON = "comparison.png"  # the plot of --compare


def run(
    request: EvaluateRequest,
    device: torch.device,
    console: Console,
    processes: Processes | None = None,
    *,
    fakes: ImageStream | Model | None = None,
) -> Result:
    """Measure images against a reference, and add the result to the run folder of the model.

    Args:
        request: Checked options, without `compare`.
        device: Where the networks go.
        console: Receives messages, tables and warnings.
        processes: The ranks that share the work; one by default.
        fakes: Images, or a loaded model, to judge instead of `request.images` and `request.checkpoint`.

    Raises:
        SwincliError: something cannot be opened, read or measured.
    """
    processes = processes or Processes()
    processes.main_first(lambda: _check_files(request))
    saved = request.save_reference
    with ExitStack() as opened:
        reference = processes.main_first(lambda: opened.enter_context(open_reference(request, console)))
        images = processes.main_first(lambda: opened.enter_context(_open_fake_images(request, console, fakes)))
        processes.from_main(lambda: _warn_of_nested_folders(request, console))
        weights = processes.main_first(lambda: _choose_detector(request, console))
        if saved is not None and fakes is None and not request.judges_images:
            detector = processes.main_first(lambda: load_detector(weights, device))
            _save_reference(saved, request, reference, detector, console, processes)
            return Result({"reference": str(saved)}, [str(saved)])
        stream, model = processes.main_first(
            lambda: _open_fakes(request, device, processes, fakes if images is None else images)
        )
        mismatches = processes.from_main(lambda: _mismatches(stream, reference))
        detector = processes.main_first(lambda: load_detector(weights, device))
        if saved is not None:
            _save_reference(saved, request, reference, detector, console, processes)
        result = evaluate(
            stream,
            reference,
            request.metrics,
            detector,
            console=console,
            seed=request.seed,
            batch=request.batch,
            model=model,
            plots=request.plots,
            intervals=request.intervals,
            preset=request.numbers.preset,
            processes=processes,
            force=request.force,
            labelled=processes.main_first(lambda: _labelled(request, model)),
        )
    cautions = [*result.cautions, *mismatches, *_too_few_reals(request, reference), *_too_few_fakes(request, stream)]
    if processes.is_main:
        _show(result, cautions, console)
        if model is not None:
            _record(model, result, console)
    return _result(result, cautions, saved)


def _choose_detector(request: EvaluateRequest, console: Console) -> DetectorWeights:
    return choose_detector(
        request.detector, request.detector_weights, request.detector_size, request.detector_pixels, console
    )


@contextmanager
def _open_fake_images(
    request: EvaluateRequest, console: Console, fakes: ImageStream | Model | None
) -> Iterator[ImageSet | None]:
    """The images of `--images`; None if a model or a stream is judged."""
    if fakes is not None or request.images is None:
        yield None
        return
    with open_images(request.images) as images:
        _say_notes(images, console)
        yield images


def _warn_of_nested_folders(request: EvaluateRequest, console: Console) -> None:
    nested = None if None in (request.images, request.data) else sets_in_folders(str(request.images), str(request.data))
    if nested is not None:
        inner, outer = nested
        console.warn(f"{inner} is inside {outer}, so its images are on both sides. Move one of them elsewhere")


def _open_fakes(
    request: EvaluateRequest, device: torch.device, processes: Processes, fakes: ImageSet | ImageStream | Model | None
) -> tuple[ImageStream, Model | None]:
    """This rank's share of the images to judge, and the model that generates them, if one does."""

    def share(count: int) -> range:
        return processes.shard(count, request.batch)

    num, seed = request.numbers.num, request.seed
    if isinstance(fakes, ImageStream):
        return fakes, None
    if isinstance(fakes, ImageSet):
        return stream_subset(fakes, num, seed, share), None
    seeds = fake_seeds(num, seed)
    model = fakes or load_model(find_checkpoint(request.checkpoint), device)
    mine = seeds[share(len(seeds)).start : share(len(seeds)).stop]
    labels = labels_as_trained(model, mine)
    images = generate(model, mine, truncation=Truncation(request.truncation), batch=request.batch, labels=labels)
    return stream_batches(images, model_record(model, seeds, request.truncation)), model


def _labelled(request: EvaluateRequest, model: Model | None) -> Labelled | None:
    """The labels of both sides: of a model, and of all images of a store; None if either has none."""
    whole = request.data is not None and request.reference is None and request.numbers.num_reference is None
    if model is None or not model.is_conditional or not whole or not is_store(str(request.data)):
        return None
    seeds = fake_seeds(request.numbers.num, request.seed)
    return Labelled(model, Store.open(str(request.data)), seeds, request.by_class)


def _mismatches(stream: ImageStream, reference: ImageSet | ReferenceStatistics) -> list[str]:
    """Cautions about sides whose images were saved, cropped or resized in different ways."""
    source = reference.source if isinstance(reference, ImageSet) else str(reference.path)
    fakes, reals = stream.look(), reference.look()
    if None not in (stream.record.resolution, _resolution(reference)):
        fakes = replace(fakes, side=None)  # `evaluate` compares sizes that are known
    return compare_appearances(fakes, stream.record.source, reals, source)


def _resolution(reference: ImageSet | ReferenceStatistics) -> int | None:
    return reference.resolution if isinstance(reference, ImageSet) else reference.record.resolution


@contextmanager
def open_reference(request: EvaluateRequest, console: Console) -> Iterator[ImageSet | ReferenceStatistics]:
    """The real images, as many as `--num-reference` says, or the statistics of `--reference`."""
    if request.reference is not None:
        yield open_statistics(request.reference)
        return
    assert request.data is not None
    with open_images(request.data) as images:
        if request.data != request.images:
            _say_notes(images, console)
        wanted = request.numbers.num_reference
        yield images if wanted is None else draw_subset(images, wanted, request.seed)


def _say_notes(images: ImageSet, console: Console) -> None:
    for note in images.notes:
        console.say(note)
    for warning in images.warnings:
        console.warn(warning)


def compare(request: EvaluateRequest, console: Console) -> Result:
    """Show the measurements of runs side by side, and plot them over the images seen.

    Raises:
        SwincliError: a run is missing or has no measurements, or the plot cannot be written.
    """
    path = None if request.plots is None else request.plots / COMPARISON
    check_overwrite([path] if path else [], force=request.force, is_own=_is_plot)
    comparison = compare_runs([read_run(Path(path)) for path in request.runs or []])
    console.show(comparison_table(comparison))
    for caution in comparison.cautions:
        console.warn(caution)
    if path is not None:
        from swincli.metrics.compare import plot_comparison

        plot_comparison(comparison, path)
        console.say(f"Plot: {path}")
    lines = [f"{row.name} {name} {cell.value:.5g}" for row in comparison.rows for name, cell in row.cells.items()]
    return Result({**comparison.as_dict(), "plot": None if path is None else str(path)}, lines)


def _check_files(request: EvaluateRequest) -> None:
    """Check the file of `--reference`, and what will be written."""
    _check_protocol(request)
    _check_outputs(request)


def _check_outputs(request: EvaluateRequest) -> None:
    """Check that the plots and the file of `--save-reference` may be written.

    Raises:
        DataError: one exists and was not made by `evaluate`.
    """
    saved, plots, force = request.save_reference, request.plots, request.force
    if saved is not None:
        check_overwrite([saved], force=force, is_own=is_own_statistics)
    if plots is not None:
        files = [plots / f"{name}.png" for name in request.metrics if METRICS[name].plot is not None]
        check_overwrite(files, force=force, is_own=_is_plot)


def _is_plot(path: Path) -> bool:
    return read_note(path) == PLOT_NOTE


def _check_protocol(request: EvaluateRequest) -> None:
    """Check that the statistics of `--reference` are of as many images as `--protocol` uses.

    Raises:
        DataError: they are not, or the file cannot be read.
    """
    name, path = request.protocol, request.reference
    if name is None or path is None:
        return
    record, wanted = open_statistics(path).record, PRESETS[name].num_reference
    whole = record.num is not None and record.drawn_from is None
    fits = whole if wanted is None else record.num == wanted or (whole and (record.num or 0) < wanted)
    if not fits:
        number = "an unknown number of" if record.num is None else f"{record.num:,}"
        of = "" if record.drawn_from is None else f" drawn from {record.drawn_from:,}"
        raise DataError(
            f"{path}: was made from {number} images{of}, but --protocol {name} uses "
            f"{'all' if wanted is None else f'{wanted:,}'}",
            f"Save it with --protocol {name}, or leave out --protocol.",
        )


def _save_reference(
    path: Path,
    request: EvaluateRequest,
    reference: ImageSet | ReferenceStatistics,
    detector: Detector,
    console: Console,
    processes: Processes,
) -> None:
    assert isinstance(reference, ImageSet)
    record = save_reference(
        path,
        reference,
        request.metrics,
        detector,
        console=console,
        batch=request.batch,
        intervals=request.intervals is True,
        processes=processes,
    )
    console.say(f"Reference: {record.num:,} images, saved as {path}")


def _too_few_reals(request: EvaluateRequest, reference: ImageSet | ReferenceStatistics) -> list[str]:
    wanted = request.numbers.num_reference
    if wanted is None or not isinstance(reference, ImageSet) or reference.count >= wanted:
        return []
    return [
        f"{reference.source}: has {reference.count:,} images, fewer than the {wanted:,} of the reference; all are used"
    ]


def _too_few_fakes(request: EvaluateRequest, stream: ImageStream) -> list[str]:
    origin, wanted = stream.record, request.numbers.num
    if request.numbers.preset is None or origin.num >= wanted:
        return []
    return [f"{origin.source}: has {origin.num:,} images, fewer than the {wanted:,} of the protocol"]


def _show(result: Evaluation, cautions: list[str], console: Console) -> None:
    console.show(result_table(result))
    for caution in cautions:
        console.warn(caution)


def _record(model: Model, result: Evaluation, console: Console) -> None:
    """Append the result to `metrics.jsonl` of the run folder that holds the model file, if it is in one.

    A tuned model is another one than that of the run.
    """
    folder = model.path.parent
    if not (folder / "recipe.toml").is_file():
        return
    if model.tuned is not None:
        console.say(f"not recorded in {folder}: its model was measured with tuned weights")
        return
    try:
        append_record(folder, result.values, result.protocol, result.intervals)
    except ResourceError as error:
        console.warn(f"not recorded in the run: {error.message}")


def _result(result: Evaluation, cautions: list[str], saved: Path | None) -> Result:
    facts = {**result.as_dict(), "cautions": cautions}
    if saved is not None:
        facts["reference"] = str(saved)
    return Result(facts, [f"{name} {value:.5g}" for name, value in result.values.items()])
