"""The report of a run: one HTML page without other files, and a short form in Markdown for a pull request."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from swincli.data.store.manifest import Manifest
from swincli.metrics.compare import CONDITIONS
from swincli.publishing.cautions import cautions_of
from swincli.publishing.charts import Chart, Series
from swincli.publishing.commands_again import commands_again
from swincli.publishing.examination import Examination
from swincli.publishing.run_facts import MetricRow, RunFacts, series_of
from swincli.recipe import dump_recipe
from swincli.system.html_page import data_uri, page_template, text_template
from swincli.training.augment.probability import AUGMENT_P, AUGMENT_R
from swincli.training.run.folder import RunFolder
from swincli.training.step.held_out import HELD_OUT_LOGIT, TRAINED_LOGIT
from swincli.units import format_bytes, format_count, format_duration, format_metric, format_names

GENERATOR: Final = '<meta name="generator" content="swincli report">'
"""Mark of a report page. A page with it may be replaced by another report."""

GRIDS = 16  # most sample grids on the page
GRID_SIDE = 768  # pixels; larger grids are shrunk
PAIRS = 12  # samples beside their nearest training images
_LOSSLESS = 512**2  # pixels up to which a grid keeps every one
_ENLARGED = 64  # pixels; images up to this side are shown with square pixels
_HEAD = 1024  # bytes; the mark of a page is at its start

CURVES: Final = (
    (
        "Losses",
        {"loss/d": "D", "loss/g": "G"},
        "Near 1.39 and 0.69, D cannot tell (logistic loss).",
        False,
    ),
    (
        "D's logits",
        {
            "d/real_logit": "shown as real",
            "d/fake_logit": "generated",
            TRAINED_LOGIT: "training images",
            HELD_OUT_LOGIT: "held-out images",
        },
        "Held-out images near the generated ones: D knows the training images by heart.",
        True,
    ),
    (
        "What D gets right",
        {"d/real_accuracy": "shown as real", "d/fake_accuracy": "generated"},
        "Half is guessing; 1 for both for long means that G learns nothing more.",
        True,
    ),
    ("Diversity of the sample grid", {"samples/diversity": "diversity"}, "A fall means that G collapses.", True),
    ("R1 penalty", {"loss/r1": "R1"}, "Without its weight.", True),
    ("Gradient norms", {"grad/d": "D", "grad/g": "G"}, "Before clipping.", True),
    ("Augmentation", {AUGMENT_P: "probability", AUGMENT_R: "r_t"}, "", True),
    ("Learning rates", {"g_lr": "G", "d_lr": "D"}, "", True),
    ("Seconds per 1,000 images", {"sec_per_kimg": "seconds"}, "", True),
)
"""Curves of stats.jsonl: title, scalars with their names, a note, and whether the axis has 0; those that a run has."""


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        uri: Its address.
        width, height: In pixels.
        told: What it shows, for those who do not see it.
        caption: Under it.
    """

    uri: str
    width: int
    height: int
    told: str
    caption: str = ""


@dataclass(frozen=True)
class Pair:
    """A sample beside its nearest training image."""

    sample: Picture
    real: Picture
    ratio: float


def is_report(path: Path) -> bool:
    """Whether a file is a report page of `swincli report`."""
    try:
        with path.open("rb") as file:
            return GENERATOR.encode() in file.read(_HEAD)
    except OSError:
        return False


def render_page(facts: RunFacts, examination: Examination | None) -> str:
    """The page as HTML.

    Args:
        facts: The run.
        examination: Of the newest model; None to leave it out.
    """
    script = files("swincli.publishing").joinpath("report_page.js").read_text("utf-8")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    folder, size = RunFolder(facts.path), facts.recipe.model.size
    toml = dump_recipe(facts.recipe)
    return page_template("swincli.publishing", "report_page.html").render(
        **shared_values(facts),
        machine=_machine(facts),
        generator=Markup(GENERATOR),
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        script=Markup(script),
        grids=_grids(folder),
        reals=_picture(folder.reals, "Training images"),
        pixelated=size <= _ENLARGED,
        curves=_curves(facts),
        metric_charts=_metric_charts(facts),
        any_best=any(row.best for row in facts.rows),
        pairs=[] if examination is None else _pairs(examination),
        examination=examination,
        spectrum=None if examination is None else _spectrum_chart(examination),
        toml_text=Markup.escape(toml),
        command_text=Markup.escape("\n".join(commands_again(facts, "recipe.toml"))),
        recipe_uri=f"data:text/plain;base64,{b64encode(toml.encode()).decode('ascii')}",
    )


def render_markdown(facts: RunFacts) -> str:
    """The short form: what a pull request needs, without pictures, and without the machine's name and settings."""
    values = shared_values(facts)
    machine = [(name, text) for name, text in _machine(facts) if name != "host" and not name.startswith("$")]
    lines = commands_again(facts, str(facts.path / "recipe.toml"))
    page = text_template("swincli.publishing", "report.md.jinja").render(**values, machine=machine, commands=lines)
    return page.strip() + "\n"


def shared_values(facts: RunFacts) -> dict[str, Any]:
    """What both forms say, as texts."""
    return {
        "facts": facts,
        "title": f"Report of {facts.name}",
        "summary": _summary(facts),
        "key_figures": _key_figures(facts),
        "cautions": cautions_of(facts),
        "metric_rows": [_metric_texts(row) for row in facts.rows],
        "conditions": _conditions(facts),
        "data_rows": [] if facts.manifest is None else _data_rows(facts.manifest),
        "cost_rows": _cost_rows(facts),
        "packages": _packages(facts),
        "counted": "{:,}".format,
    }


def _summary(facts: RunFacts) -> str:
    recipe, observed = facts.recipe, facts.observed
    kind = f" with {recipe.model.classes:,} classes" if recipe.model.classes else ""
    store = f", drawn from a store of {facts.manifest.images:,}" if facts.manifest else ""
    return (
        f"StyleSwin at {recipe.model.size} x {recipe.model.size} px{kind}, trained on {observed.images_seen:,} images"
        f"{store}. {observed.words[:1].upper()}{observed.words[1:]}."
    )


def _key_figures(facts: RunFacts) -> list[tuple[str, str, str]]:
    """Name, value and a remark of the figures on top."""
    cost, seen, total = facts.cost, facts.observed.images_seen, facts.recipe.train.total
    figures = [("images seen", f"{seen:,}", f"{seen / total:.0%} of {format_count(total)}" if total else "")]
    for row in facts.rows[:2]:
        remark = "" if row.interval is None else f"95 %: {row.interval[0]:.4g} to {row.interval[1]:.4g}"
        figures.append((row.name.upper() if len(row.name) < 4 else row.name, f"{row.value:.4g}", remark))
    if cost.seconds is not None:
        pace = "" if cost.sec_per_kimg is None else f"{cost.sec_per_kimg:.3g} s per 1,000 images"
        figures.append(("time in steps", format_duration(cost.seconds), pace))
    if cost.parameters is not None:
        figures.append(
            ("parameters of G", format_metric(cost.parameters[0]), f"D: {format_metric(cost.parameters[1])}")
        )
    return figures


def _metric_texts(row: MetricRow) -> dict[str, str]:
    arrow = {True: "higher is better", False: "lower is better", None: ""}[row.higher_is_better]
    return {
        "name": row.name,
        "arrow": arrow,
        "value": f"{row.value:.4g}",
        "interval": "" if row.interval is None else f"{row.interval[0]:.4g} to {row.interval[1]:.4g}",
        "seen": "" if row.images_seen is None else f"{row.images_seen:,}",
        "best": "" if row.best is None else f"{row.best[0]:.4g} at {row.best[1]:,}",
    }


def _conditions(facts: RunFacts) -> list[tuple[str, str]]:
    """How the newest measurement was made."""
    if facts.metrics is None:
        return []
    newest = max(enumerate(facts.metrics.measurements), key=lambda pair: (pair[1].images_seen or 0, pair[0]))[1]
    return [(name, text) for name, text in zip(CONDITIONS, newest.conditions, strict=True) if text]


def _data_rows(manifest: Manifest) -> list[tuple[str, str]]:
    kinds: dict[str, int] = {}
    for item in manifest.rejected:
        kinds[item.kind] = kinds.get(item.kind, 0) + 1
    labels = manifest.label_names or []
    rows = {
        "images": f"{manifest.images:,} of {manifest.resolution} x {manifest.resolution} px",
        "source": manifest.source,
        "crop and filter": f"{manifest.crop}, {manifest.filter}, {manifest.gamma}",
        "labels": f"{len(labels):,}: {format_names(labels, 12)}" if labels else "none",
        "enlarged": f"{manifest.upscaled:,}" if manifest.upscaled else "none",
        "left out": ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "none",
        "generated pictures": _generated(manifest),
        "content hash": manifest.content_hash,
        "credit": manifest.credit or "none given",
    }
    return list(rows.items())


def _generated(manifest: Manifest) -> str:
    if manifest.generated is None:
        return "not counted by the version that made the store"
    return f"{manifest.generated_images:,} say so"


def _cost_rows(facts: RunFacts) -> list[tuple[str, str]]:
    cost = facts.cost
    rows = {
        "time in training steps": None if cost.seconds is None else format_duration(cost.seconds),
        "from the first to the last line of the log": None if cost.wall is None else format_duration(cost.wall),
        "seconds per 1,000 images": None if cost.sec_per_kimg is None else f"{cost.sec_per_kimg:.4g}",
        "most memory of the process": None if cost.memory is None else format_bytes(cost.memory),
        "most memory of the GPU": None if cost.gpu_memory is None else format_bytes(cost.gpu_memory),
        "multiply-adds of an image": None if cost.multiply_adds is None else format_metric(cost.multiply_adds),
        "disk": format_bytes(cost.disk),
        "energy": "not measured",
    }
    return [(name, text) for name, text in rows.items() if text is not None]


def _machine(facts: RunFacts) -> list[tuple[str, str]]:
    """Software and hardware of the first session, without the packages, and what later ones have changed."""
    if not facts.environment:
        return []
    first, *later = facts.environment
    rows = [("since", first.time)]
    rows += [(name, value) for name, value in first.values.items() if not name.startswith("package ") and value != "-"]
    for session in later:
        rows += [(f"{name}, from {session.time}", value) for name, value in session.values.items()]
    return rows


def _packages(facts: RunFacts) -> list[str]:
    newest: dict[str, str] = {}
    for session in facts.environment:
        newest |= session.values
    start = "package "
    return [f"{name.removeprefix(start)} {value}" for name, value in newest.items() if name.startswith(start)]


def _curves(facts: RunFacts) -> list[Chart]:
    charts = []
    for title, names, note, zero in CURVES:
        lines = [Series(words, series_of(facts.stats, name)) for name, words in names.items()]
        lines = [line for line in lines if line.points]
        if lines:
            charts.append(Chart(title, lines, note=note, zero=zero))
    return charts


def _metric_charts(facts: RunFacts) -> list[Chart]:
    """One chart for every metric that was measured in the same way at two moments or more."""
    if facts.metrics is None:
        return []
    charts = []
    for row in facts.rows:
        alike = [
            entry
            for entry in facts.metrics.measurements
            if entry.images_seen is not None
            and entry.conditions_of(row.name) == row.conditions
            and np.isfinite(entry.values.get(row.name, np.nan))
        ]
        alike = sorted({entry.images_seen: entry for entry in alike}.values(), key=lambda entry: entry.images_seen or 0)
        points = [(float(entry.images_seen or 0), entry.values[row.name]) for entry in alike]
        spans = [
            (float(each.images_seen or 0), *each.intervals[row.name]) for each in alike if row.name in each.intervals
        ]
        if len(points) > 1:
            note = "Bars are 95 % intervals." if spans else ""
            charts.append(Chart(row.name, [Series(row.name, points, spans, marked=True)], note=note))
    return charts


def _spectrum_chart(examination: Examination) -> Chart:
    lines = []
    for name, side in (
        ("training images", examination.spectrum.reals),
        ("generated images", examination.spectrum.fakes),
    ):
        levels = side.profile.by_frequency()
        frequency = np.arange(1, len(levels) + 1) / min(side.size)
        lines.append(Series(name, list(zip(frequency.tolist(), levels.tolist(), strict=True)), marked=False))
    return Chart("Power by frequency, dB", lines, x_label="cycles per pixel")


def _grids(folder: RunFolder) -> list[Picture]:
    """Sample grids, evenly chosen from the first to the last."""
    names = {path: path.stem.removeprefix("fakes-") for path in (folder.path / "samples").glob("fakes-*.png")}
    grids = sorted((int(name), path) for path, name in names.items() if name.isascii() and name.isdigit())
    if len(grids) > GRIDS:
        grids = [grids[round(place)] for place in np.linspace(0, len(grids) - 1, GRIDS)]
    found = []
    for number, path in grids:
        picture = _picture(path, f"Sample grid after {number:,} images", f"{number:,} images")
        found += [picture] if picture is not None else []
    return found


def _picture(path: Path, told: str, caption: str = "") -> Picture | None:
    """A picture file for the page; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            return _shown(image.convert("RGB"), told, caption)
    except Exception:  # Pillow raises many types for damaged files, and a run that goes on replaces its own
        return None


def _shown(image: Image.Image, told: str, caption: str = "") -> Picture:
    if max(image.size) > GRID_SIDE:
        image.thumbnail((GRID_SIDE, GRID_SIDE), Image.Resampling.LANCZOS)
    small = image.width * image.height <= _LOSSLESS
    options: dict[str, Any] = {"lossless": True} if small else {"quality": 88, "method": 4}
    return Picture(data_uri(image, "WEBP", **options), image.width, image.height, told, caption)


def _pairs(examination: Examination) -> list[Pair]:
    """The samples with the smallest ratio, and their nearest training images."""
    ratios = examination.nearest.distance_ratio
    order: Sequence[int] = np.argsort(ratios, kind="stable")[:PAIRS].tolist()
    return [
        Pair(
            _of_pixels(examination.samples[place], f"Sample of seed {place}"),
            _of_pixels(examination.reals[place], f"The training image nearest to the sample of seed {place}"),
            float(ratios[place]),
        )
        for place in order
    ]


def _of_pixels(pixels: NDArray[np.uint8], told: str) -> Picture:
    image = Image.fromarray(pixels)
    image.thumbnail((256, 256), Image.Resampling.LANCZOS)
    return _shown(image, told)
