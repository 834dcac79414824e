"""`run`: makes a store for `swincli prepare-data`, checks one, or measures a store or source; and writes reports."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from swincli.commands.prepare_data.request import PrepareDataRequest
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.data.preparing.decode_crop import DecodeOptions
from swincli.data.preparing.options import PrepareOptions, make_plan
from swincli.data.preparing.prepare import PrepareResult, open_checked, prepare_opened, warn_of_generated
from swincli.data.preparing.report import ReportFiles, write_reports
from swincli.data.preparing.report_page import ReportText
from swincli.data.preparing.stats import dataset_stats, open_dataset
from swincli.data.preparing.survey import Survey
from swincli.data.sources.entries import Source
from swincli.data.store.manifest import Provenance
from swincli.data.store.verify import verify_store
from swincli.data.store.verify_archive import is_archive, verify_archive
from swincli.errors import DataError, ResourceError, SwincliError
from swincli.units import format_bytes, format_items, format_names

_NOT_SETTINGS = {
    "format", "format_version", "images", "channels", "label_names", "rejected", "credit", "shards", "upscaled",
    "generated", "lengths_sha256", "labels_sha256",
}  # fmt: skip


def run(request: PrepareDataRequest, console: Console) -> Result:
    """Make a store; or check one (`--verify`), or measure a store or source (`--stats`).

    Args:
        request: Checked options.
        console: Receives messages, tables, warnings and progress.

    Raises:
        SwincliError: as `prepare`, `verify_store`, `dataset_stats` and `write_reports` do.
    """
    if request.verify is not None:
        return _verify(request.verify, console)
    if request.stats is not None:
        return _measure(request.stats, request.options, request.report_files, console)
    assert request.source is not None
    assert request.dest is not None
    return _prepare(request.source, request.dest, request.options, request.report_files, console)


def _verify(path: Path, console: Console) -> Result:
    checked = verify_archive(path, console) if is_archive(path) else verify_store(path, console)
    facts = {"path": str(path), "ok": True, "images": checked.images, "content_hash": checked.content_hash}
    return Result(facts, [f"{path}: ok"])


def _prepare(source: str, dest: Path, options: PrepareOptions, files: ReportFiles, console: Console) -> Result:
    """Make the store, then the report files.

    If preparing fails because of the pictures, the report is still written.
    """
    survey = Survey()
    with open_checked(source, dest, options) as opened:
        try:
            result = prepare_opened(opened, dest, options, console, survey.add)
        except DataError as error:
            if survey.files and files.report is not None:
                words = ReportText(source, f"No store was made: {error.message}.", vars(options))
                _report_failure(ReportFiles(files.report), words, survey, options, opened, console)
            raise
        manifest, side = result.manifest, options.resolution
        summary = f"{result.images:,} of {survey.files:,} files became images of {side} x {side} px."
        settings = manifest.model_dump(exclude=_NOT_SETTINGS)
        words = ReportText(f"{source} → {dest}", summary, settings, manifest.credit, has_manifest=True)
        try:
            _write_files(files, words, survey, make_plan(options).decode, opened, console)
        except SwincliError as error:
            raise ResourceError(f"{error.message}; {dest} itself is complete", error.hint) from error
    console.show(_store_table(result, survey))
    return Result(_store_facts(result, survey) | _paths(files), [str(result.path)])


def _report_failure(
    files: ReportFiles, words: ReportText, survey: Survey, options: PrepareOptions, source: Source, console: Console
) -> None:
    """Write the report of a failure. What prevents it is a warning, as the failure itself is reported next."""
    try:
        _write_files(files, words, survey, make_plan(options).decode, source, console)
    except SwincliError as error:
        console.warn(error.message)


def _measure(text: str, options: PrepareOptions, files: ReportFiles, console: Console) -> Result:
    """Count and measure the images of a store or source, then write the report files."""
    make_plan(options)
    with open_dataset(text, options.resolution) as source:
        stock = dataset_stats(source, options, console)
        survey, side = stock.survey, stock.decode.resolution
        mean, std = _three(stock.channels.mean), _three(stock.channels.std)
        summary = (
            f"{survey.kept:,} of {survey.files:,} pictures are usable and distinct (statistics at {side} x {side} px)."
        )
        settings = {"mean": mean, "std": std, "hash": stock.content_hash}
        _write_files(files, ReportText(text, summary, settings), survey, stock.decode, source, console)
    warn_of_generated(survey.generated.total(), survey.kept, console)
    table = _table()
    table.add_row("images", f"{survey.kept:,}, measured at {side} x {side} px")
    table.add_row("mean", f"{mean} (red, green, blue; 0 to 1)")
    table.add_row("std", std)
    _add_counts(table, survey)
    console.show(table)
    return Result(stock.as_json() | _paths(files), [f"mean {mean}", f"std {std}"])


def _write_files(
    files: ReportFiles, words: ReportText, survey: Survey, decode: DecodeOptions, source: Source, console: Console
) -> None:
    for path in write_reports(files, words, survey, decode, source):
        console.say(f"wrote {path}")


def _paths(files: ReportFiles) -> dict[str, str]:
    """The report files, for the JSON result."""
    named = {"report": files.report, "contact_sheet": files.contact_sheet}
    return {name: str(path) for name, path in named.items() if path is not None}


def _store_facts(result: PrepareResult, survey: Survey) -> dict[str, object]:
    manifest = result.manifest
    return {
        "path": str(result.path),
        "images": result.images,
        "rejected": [{"source": item.source, "reason": item.reason} for item in result.rejected],
        "duplicates": [[seen.same_as, seen.name] for seen in survey.duplicates],
        "resolution": manifest.resolution,
        "upscaled": sum(part.upscaled for part in result.manifests.values()),
        "label_names": manifest.label_names,
        "content_hash": manifest.content_hash,
        "parts": {part: {"images": one.images, "content_hash": one.content_hash} for part, one in _parts(result)},
        "credit": manifest.credit,
        "bytes": result.size,
        **survey.as_json(),
    }


def _parts(result: PrepareResult) -> list[tuple[str, Provenance]]:
    """The named parts of a split, with their manifests."""
    return [(part, manifest) for part, manifest in result.manifests.items() if part]


def _table() -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")  # paths are shown whole
    return table


def _store_table(result: PrepareResult, survey: Survey) -> Table:
    table, side = _table(), result.manifest.resolution
    table.add_row("images", f"{result.images:,} of {side} x {side} px")
    for part, manifest in _parts(result):
        table.add_row("", escape(f"{manifest.images:,} in {part}"))
    if result.manifest.label_names is not None:
        table.add_row("labels", f"{len(result.manifest.label_names):,}")
    _add_counts(table, survey)
    table.add_row("store", escape(f"{result.path} ({format_bytes(result.size)})"))
    return table


def _add_counts(table: Table, survey: Survey) -> None:
    """Add rows that count the files by kind, mode and size, and those left out by reason."""
    if survey.kinds:
        table.add_row("files", ", ".join(f"{count:,} {kind}" for kind, count in survey.kinds.most_common()))
    if any(mode != "RGB" for mode in survey.modes):
        table.add_row("channels", ", ".join(f"{count:,} {mode}" for mode, count in survey.modes.most_common()))
    sides = [(words, count) for words, count in survey.shorter_sides() if count]
    if len(survey.sizes) > 1:
        table.add_row("sizes", "; ".join(f"{count:,} of {words}" for words, count in sides))
    if survey.several_frames:
        counted = format_items(survey.several_frames, "picture")
        named = format_names(survey.first_animations)
        table.add_row("frames", escape(f"first one of {counted} with several frames or pages: {named}"))
    if survey.generated:
        named = f": {format_names(survey.first_generated)}" if survey.first_generated else ""
        table.add_row("generated", escape(f"{survey.generated.total():,} by a trained algorithm, as they say{named}"))
    for kind, group in survey.by_reason().items():
        named = format_names([seen.name for seen in group])
        table.add_row("left out", escape(f"{len(group):,} {kind}: {named}"))


def _three(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
