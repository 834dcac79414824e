"""What `swincli prepare-data` does once its options are read: preparing, taking stock, and telling about both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from swincli.console import Console
from swincli.data.preparing.decode_crop import DecodeOptions
from swincli.data.preparing.options import PrepareOptions, make_plan
from swincli.data.preparing.prepare import PrepareResult, prepare
from swincli.data.preparing.report import ReportFiles, write_reports
from swincli.data.preparing.report_page import ReportText
from swincli.data.preparing.stats import DatasetStats, dataset_stats, open_dataset
from swincli.data.preparing.survey import Survey
from swincli.data.sources import open_source
from swincli.data.sources.entries import Source
from swincli.data.store.manifest import Provenance
from swincli.data.store.verify import verify_store
from swincli.errors import DataError, UsageError
from swincli.units import format_bytes, format_names

_NO_SETTINGS = {
    "format", "format_version", "images", "channels", "label_names", "rejected", "credit", "shards", "upscaled",
    "lengths_sha256", "labels_sha256",
}  # fmt: skip


def verify_whole(path: Path, console: Console) -> None:
    """Check every byte of a store, and say that it is whole.

    Raises:
        DataError: it is not.
    """
    checked = verify_store(path, console)
    data = {"path": str(path), "ok": True, "images": checked.images, "content_hash": checked.content_hash}
    console.emit(data, [f"{path}: ok"])


def carry_out(source: str, dest: Path, options: PrepareOptions, asked: ReportFiles, console: Console) -> None:
    """Prepare, write what was asked for besides, and tell.

    Where preparing fails because of the pictures, the report is written all the same.

    Raises:
        SwincliError: as `prepare` and `write_reports` do.
    """
    check_place(dest, options)
    asked.check(source, dest)
    survey, fit = Survey(), make_plan(options).decode
    reopen = partial(open_source, source, options.resolution)
    try:
        result = prepare(source, dest, options, console, survey.add)
    except DataError as error:
        if survey.files and asked.report is not None:
            words = ReportText(source, f"Nothing was made: {error.message}.", vars(options))
            _write(ReportFiles(asked.report), words, survey, reopen, console, fit)
        raise
    manifest, side = result.manifest, options.resolution
    summary = f"{result.images:,} of {survey.files:,} files became images of {side} x {side} px."
    settings = manifest.model_dump(exclude=_NO_SETTINGS)
    _write(asked, ReportText(f"{source} → {dest}", summary, settings, manifest.credit), survey, reopen, console, fit)
    console.show(_summary(result, survey))
    console.emit(_as_json(result, survey, asked), [str(result.path)])


def look_over(text: str, options: PrepareOptions, asked: ReportFiles, console: Console) -> None:
    """Take stock of a store or a source, write what was asked for besides, and tell.

    Raises:
        SwincliError: as `dataset_stats` and `write_reports` do.
    """
    asked.check(text)
    stock = dataset_stats(text, options, console)
    survey, side = stock.survey, stock.decode.resolution
    summary = f"{survey.kept:,} of {survey.files:,} are of use and differ; they were measured at {side} x {side} px."
    settings = {"mean": _three(stock.channels.mean), "std": _three(stock.channels.std), "hash": stock.content_hash}
    reopen = partial(open_dataset, text, options.resolution)
    _write(asked, ReportText(text, summary, settings), survey, reopen, console, stock.decode)
    table = _table()
    table.add_row("images", f"{survey.kept:,}, measured at {side} x {side} px")
    table.add_row("mean", f"{_three(stock.channels.mean)} (red, green, blue; 0 to 1)")
    table.add_row("std", _three(stock.channels.std))
    _add_counts(table, survey)
    console.show(table)
    console.emit(stock.as_json() | _written(asked), _lines(stock))


def check_place(dest: Path, options: PrepareOptions) -> None:
    """Refuse a name or an encoding that does not go with the format.

    Raises:
        UsageError: it does not.
    """
    one_zip = options.format == "zip" and options.split is None
    if one_zip and dest.suffix.lower() != ".zip":
        raise UsageError(f"{dest}: the name of a zip ends in .zip", f"For example {dest}.zip.")
    if options.format != "store" and options.encoding == "webp":
        raise UsageError(f"--encoding webp: a {options.format} holds PNG files", "WebP is for --format store.")


def _write(
    asked: ReportFiles,
    words: ReportText,
    survey: Survey,
    reopen: Callable[[], Source],
    console: Console,
    fit: DecodeOptions,
) -> None:
    for path in write_reports(asked, words, survey, fit, reopen):
        console.say(f"wrote {path}")


def _written(asked: ReportFiles) -> dict[str, str]:
    named = {"report": asked.report, "contact_sheet": asked.contact_sheet}
    return {name: str(path) for name, path in named.items() if path is not None}


def _as_json(result: PrepareResult, survey: Survey, asked: ReportFiles) -> dict[str, object]:
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
        **_written(asked),
    }


def _parts(result: PrepareResult) -> list[tuple[str, Provenance]]:
    """The parts that have names."""
    return [(part, manifest) for part, manifest in result.manifests.items() if part]


def _table() -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")  # a path is of use as a whole only
    return table


def _summary(result: PrepareResult, survey: Survey) -> Table:
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
    """Rows of what went in, and of what was left out."""
    if survey.kinds:
        table.add_row("files", ", ".join(f"{count:,} {kind}" for kind, count in survey.kinds.most_common()))
    if any(mode != "RGB" for mode in survey.modes):
        table.add_row("channels", ", ".join(f"{count:,} {mode}" for mode, count in survey.modes.most_common()))
    sides = [(words, count) for words, count in survey.shorter_sides() if count]
    if len(survey.sizes) > 1:
        table.add_row("sizes", "; ".join(f"{count:,} of {words}" for words, count in sides))
    for kind, group in survey.by_reason().items():
        named = format_names([seen.name for seen in group])
        table.add_row("left out", escape(f"{len(group):,} {kind}: {named}"))


def _lines(stock: DatasetStats) -> list[str]:
    return [f"mean {_three(stock.channels.mean)}", f"std {_three(stock.channels.std)}"]


def _three(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
