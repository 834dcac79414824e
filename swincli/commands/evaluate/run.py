"""What `swincli evaluate` does: opening both sides, measuring, and telling the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.markup import escape
from rich.table import Table

from swincli.console import Console
from swincli.errors import DataError, ResourceError, UsageError
from swincli.metrics.compare import Comparison, compare_runs, plot_comparison, read_run
from swincli.metrics.evaluate import Evaluation, evaluate, save_reference
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.presets import PRESETS, ImageCounts
from swincli.metrics.protocol import append_record
from swincli.metrics.streams.images import (
    ImageSet,
    ImageStream,
    draw_subset,
    fake_seeds,
    model_record,
    open_images,
    stream_batches,
    stream_subset,
)
from swincli.metrics.streams.reference_files import ReferenceStatistics, open_statistics
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import Model, load_model
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sampling import generate
from swincli.system.distributed import Processes

OF_COMPARISON = ("--compare", "--plots", "--json", "--quiet", "--debug")
"""Options that mean something beside --compare."""


@dataclass(frozen=True)
class FakesAsked:
    """What is to be judged: pictures, or a model with the number, seed and truncation of its images."""

    images: str | None
    checkpoint: str | None
    num: int
    seed: int
    truncation: float
    batch: int | None

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: options that contradict each other.
        """
        if self.images is not None and self.checkpoint is not None:
            raise UsageError("--images and --checkpoint: only one of them can be judged", "Leave one of them out.")
        if self.images is not None and self.truncation != 1.0:
            raise UsageError("--truncation: pictures that are there already cannot be truncated", "Leave it out.")

    @contextmanager
    def open(self, place: torch.device, processes: Processes) -> Iterator[tuple[ImageStream, Model | None]]:
        """This process's share of the pictures, and the model that makes them where one does."""

        def share(count: int) -> range:
            return processes.shard(count, self.batch)

        if self.images is not None:
            with open_images(self.images) as chosen:
                yield stream_subset(chosen, self.num, self.seed, share), None
        else:
            seeds = fake_seeds(self.num, self.seed)
            model = load_model(find_checkpoint(self.checkpoint), place)
            mine = seeds[share(len(seeds)).start : share(len(seeds)).stop]
            labels = labels_as_trained(model, mine)
            pictures = generate(model, mine, truncation=Truncation(self.truncation), batch=self.batch, labels=labels)
            yield stream_batches(pictures, model_record(model, seeds, self.truncation)), model


@dataclass(frozen=True)
class RealAsked:
    """What it is to be judged by: pictures, or statistics of them; and where to save statistics."""

    data: str | None
    statistics: Path | None
    numbers: ImageCounts
    seed: int
    save: Path | None

    def check(self, protocol: str | None, drawn: bool) -> None:
        """Refuse what cannot be meant; `drawn` says whether --num-reference was given.

        Raises:
            UsageError: options that are missing or contradict each other.
        """
        if self.data is None and self.statistics is None:
            hint = "--data takes a store, a folder or a zip of real pictures, --reference a file of their statistics."
            raise UsageError("--data or --reference: one of them is required", hint)
        if self.data is not None and self.statistics is not None:
            raise UsageError("--data and --reference: only one of them can be the reference", "Leave one of them out.")
        if self.statistics is not None and self.save is not None:
            raise UsageError("--save-reference: takes real pictures, by --data", "Leave out --reference.")
        if self.statistics is not None and drawn:
            raise UsageError("--num-reference: nothing can be drawn from the statistics of --reference", "Use --data.")
        if self.save is not None and self.save.suffix != ".npz":
            raise UsageError(f"--save-reference {self.save}: the file's name must end in .npz")
        if self.statistics is not None and protocol is not None:
            _require_preset(protocol, self.statistics)

    @contextmanager
    def open(self) -> Iterator[ImageSet | ReferenceStatistics]:
        """The pictures, as many as asked for, or the statistics."""
        if self.statistics is not None:
            yield open_statistics(self.statistics)
        else:
            assert self.data is not None
            with open_images(self.data) as images:
                wanted = self.numbers.num_reference
                yield images if wanted is None else draw_subset(images, wanted, self.seed)

    def cautions(self, found: ImageSet | ReferenceStatistics) -> list[str]:
        """What was asked for and could not be had."""
        wanted = self.numbers.num_reference
        if wanted is None or not isinstance(found, ImageSet) or found.count >= wanted:
            return []
        return [f"{wanted:,} real pictures were asked for and {found.source} holds {found.count:,}; all are used"]


@dataclass(frozen=True)
class How:
    """How to measure: metrics, detector (loaded when called), device, intervals, folder of plots, batch."""

    metrics: list[str]
    detector: Callable[[], Detector]
    place: torch.device
    intervals: bool | None
    plots: Path | None
    batch: int | None


def measure(fakes: FakesAsked, real: RealAsked, how: How, console: Console, processes: Processes) -> None:
    """Measure, and in the leading process tell the result, and record it in the run that the model lies in.

    Raises:
        SwincliError: something cannot be opened, read or measured.
    """
    with ExitStack() as opened:
        reference = processes.main_first(lambda: opened.enter_context(real.open()))
        if real.save is not None and fakes.images is None and fakes.checkpoint is None:
            _save(real.save, reference, how, processes.main_first(how.detector), console, processes)
            if processes.is_main:
                console.emit({"reference": str(real.save)}, [str(real.save)])
            return
        stream, model = processes.main_first(lambda: opened.enter_context(fakes.open(how.place, processes)))
        detector = processes.main_first(how.detector)
        if real.save is not None:
            _save(real.save, reference, how, detector, console, processes)
        result = evaluate(
            stream,
            reference,
            how.metrics,
            detector,
            console=console,
            seed=fakes.seed,
            batch=how.batch,
            model=model,
            plots=how.plots,
            intervals=how.intervals,
            preset=real.numbers.preset,
            processes=processes,
        )
    if processes.is_main:
        cautions = [*result.cautions, *real.cautions(reference), *_too_few_fakes(fakes, real, stream)]
        _tell(result, cautions, real.save, console)
        _record(stream.record.source if model else None, result, console)


def _tell(result: Evaluation, cautions: list[str], saved: Path | None, console: Console) -> None:
    console.show(_result_table(result))
    for caution in cautions:
        console.warn(caution)
    data = {**result.as_dict(), "cautions": cautions}
    if saved is not None:
        data["reference"] = str(saved)
    console.emit(data, [f"{name} {value:.5g}" for name, value in result.values.items()])


def compare(runs: list[str], plots: Path | None, console: Console) -> None:
    """Show what runs have measured side by side, and plot it over images seen.

    Raises:
        SwincliError: a run is not there or has measured nothing, or the plot cannot be written.
    """
    comparison = compare_runs([read_run(Path(run)) for run in runs])
    console.show(_comparison_table(comparison))
    for caution in comparison.cautions:
        console.warn(caution)
    path = None
    if plots is not None:
        path = plots / "comparison.png"
        plot_comparison(comparison, path)
        console.say(f"Plot: {path}")
    lines = [f"{row.name} {name} {cell.value:.5g}" for row in comparison.rows for name, cell in row.cells.items()]
    console.emit({**comparison.as_dict(), "plot": None if path is None else str(path)}, lines)


def check_compare(runs: list[str] | None, given: Sequence[str]) -> None:
    """Refuse options that have nothing to do with --compare, and --compare of nothing.

    Args:
        runs: What is to be compared.
        given: The options on the command line.

    Raises:
        UsageError: either.
    """
    foreign = [option for option in given if option not in OF_COMPARISON]
    if foreign:
        them = "it" if len(foreign) == 1 else "them"
        raise UsageError(
            f"--compare and {', '.join(foreign)}: runs are compared by what they have measured already",
            f"Leave {them} out, or measure first without --compare.",
        )
    if not runs:
        raise UsageError("--compare: no runs to compare", "Name them: swincli evaluate --compare runs/a runs/b")


def check_no_runs(runs: list[str] | None) -> None:
    """Refuse runs without --compare.

    Raises:
        UsageError: there are some.
    """
    if runs:
        hint = f"To judge it: --checkpoint {runs[0]}. To compare what runs have measured: --compare."
        raise UsageError(f"{runs[0]}: what is it for?", hint)


def _require_preset(name: str, path: Path) -> None:
    """Check that saved statistics are of the pictures that a preset takes."""
    record, wanted = open_statistics(path).record, PRESETS[name].num_reference
    whole = record.num is not None and record.drawn_from is None
    fits = whole if wanted is None else record.num == wanted or (whole and (record.num or 0) < wanted)
    if not fits:
        number = "an unknown number of" if record.num is None else f"{record.num:,}"
        of = "" if record.drawn_from is None else f" drawn from {record.drawn_from:,}"
        asked = "all" if wanted is None else f"{wanted:,}"
        raise DataError(
            f"{path}: is of {number} pictures{of}, and --protocol {name} takes {asked}",
            f"Save it with --protocol {name}, or leave out --protocol.",
        )


def _save(
    path: Path,
    reference: ImageSet | ReferenceStatistics,
    how: How,
    detector: Detector,
    console: Console,
    processes: Processes,
) -> None:
    assert isinstance(reference, ImageSet)
    record = save_reference(
        path,
        reference,
        how.metrics,
        detector,
        console=console,
        batch=how.batch,
        intervals=how.intervals is True,
        processes=processes,
    )
    console.say(f"Reference: {record.num:,} images, saved as {path}")


def _too_few_fakes(fakes: FakesAsked, real: RealAsked, stream: ImageStream) -> list[str]:
    if real.numbers.preset is None or stream.record.num >= fakes.num:
        return []
    return [f"the protocol takes {fakes.num:,} fakes and {stream.record.source} holds {stream.record.num:,}"]


def _record(model: str | None, result: Evaluation, console: Console) -> None:
    """Add the result to the run folder that a model file lies in, if it does."""
    run = Path(model).parent if model is not None else None
    if run is None or not (run / "recipe.toml").is_file():
        return
    try:
        append_record(run, result.values, result.protocol, result.intervals)
    except ResourceError as error:
        console.warn(f"not recorded in the run: {error.message}")


def _result_table(result: Evaluation) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")  # a path is of use as a whole only
    for name, value in result.values.items():
        ends = result.intervals.get(name)
        table.add_row(f"[bold]{name}[/]", f"[bold]{value:.5g}[/]" + (escape(f" {_between(ends)}") if ends else ""))
    for name, text in result.protocol.rows():
        table.add_row(name, escape(text))
    return table


def _between(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:.4g}, {ends[1]:.4g}]"


def _comparison_table(comparison: Comparison) -> Table:
    table = Table("run", "images seen", *comparison.names, box=None, pad_edge=False)
    for row in comparison.rows:
        cells = []
        for name in comparison.names:
            cell = row.cells.get(name)
            if cell is None:
                cells.append("-")
                continue
            mark = "" if cell.comparable else " *"
            cells.append(escape(f"{cell.value:.5g}{mark}" + (f" {_between(cell.interval)}" if cell.interval else "")))
        seen = sorted({cell.images_seen for cell in row.cells.values() if cell.images_seen is not None})
        table.add_row(escape(row.name), " / ".join(f"{number:,}" for number in seen) or "-", *cells)
    return table
