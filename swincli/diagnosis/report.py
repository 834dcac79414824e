"""Text report of a diagnosis, in the width and colours of the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from swincli.diagnosis.checks import DatasetStatus
from swincli.diagnosis.cost import RecipeCost
from swincli.diagnosis.device_check import DeviceCheck
from swincli.diagnosis.diagnosis import Diagnosis
from swincli.diagnosis.estimate import RunEstimate
from swincli.diagnosis.findings import Finding, worst_severity
from swincli.diagnosis.machine import Machine
from swincli.system.device_facts import device_facts, uses_tf32
from swincli.units import (
    format_bytes,
    format_count,
    format_duration,
    format_items,
    format_metric,
    format_percent,
    format_seconds,
)

PIPED_WIDTH = 100  # columns without a terminal
_MARKS = {None: ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
_ASCII = {"✓": "+", "✗": "x", "·": "-"}


def render_lines(renderable: RenderableType) -> list[str]:
    """Render for stdout: coloured on a terminal, else plain; in ASCII if the encoding has nothing more."""
    console = RichConsole(highlight=False, emoji=False)
    if not console.is_terminal:
        console = RichConsole(highlight=False, emoji=False, width=PIPED_WIDTH, no_color=True)
    with console.capture() as capture:
        console.print(renderable, soft_wrap=isinstance(renderable, Text))
    text = capture.get()
    if console.options.ascii_only:
        for sign, plain in _ASCII.items():
            text = text.replace(sign, plain)
    return [line.rstrip() for line in text.splitlines()]


@dataclass(frozen=True)
class Row:
    """One line of a section: its name and its text."""

    about: str
    text: str


def machine_report(machine: Machine, findings: list[Finding], check: DeviceCheck | None = None) -> RenderableType:
    """The machine, one item per line, and how the device's results compare with the CPU's."""
    processor, versions = machine.processor, machine.versions
    cores = f"{processor.usable_cores} of {processor.cores} cores usable, {format_items(machine.threads, 'thread')}"
    rows = [
        Row("versions", _joined(f"{name} {version}" for name, version in versions.items() if version)),
        Row("system", machine.system),
        Row("processor", _joined([processor.name, cores, *processor.instructions])),
        Row("threads", f"{machine.waiting}; other programs use {machine.others:.1f} cores now"),
        Row("memory", f"{format_bytes(machine.memory)}, {format_bytes(machine.available)} free"),
        *[
            Row(
                "GPU",
                _joined(
                    [
                        each.device,
                        each.name,
                        f"{format_bytes(each.memory)}, {format_bytes(each.free)} free",
                        *([f"compute capability {each.capability}"] if each.capability else []),
                        *(["bf16"] if each.bf16 else []),
                    ]
                ),
            )
            for each in machine.devices
        ],
        *([] if machine.devices else [Row("GPU", "none that PyTorch can use")]),
        Row("device", f"networks run on {machine.device}"),
        *([] if check is None else [Row("results", check.summary)]),
        Row("disk", f"{format_bytes(machine.disk_free)} free for runs under {machine.disk}"),
        *(Row("weights", f"{each.detector}: {each.path or 'not installed'}") for each in machine.weights),
        Row("packages", _joined(f"{name} {version or 'not installed'}" for name, version in machine.packages.items())),
        Row("compiler", machine.compiler or "no C++ compiler; run.compile needs one on a CPU"),
    ]
    return _section("Machine", [_rows_table(rows, findings)])


def recipe_report(name: str, diagnosis: Diagnosis) -> RenderableType:
    """A recipe on the machine: networks, phases, time, memory and files of a run."""
    recipe, estimate, findings = diagnosis.recipe, diagnosis.estimate, diagnosis.findings
    rows = []
    if estimate:
        rows += [Row("speed", _speed(estimate)), Row("time", _time(estimate)), Row("memory", _memory(estimate))]
    rows += [
        Row("files", _files(diagnosis.cost)),
        Row("settings", _settings(diagnosis)),
        Row("data", _data(diagnosis.data)),
    ]
    if recipe.train.init is not None:
        rows.append(Row("init", diagnosis.init or recipe.train.init))
    images = format_items(recipe.train.batch, "image")
    title = f"{name} on {diagnosis.device}: {recipe.model.size} px, {images} per step"
    phases = [_phases_table(estimate)] if estimate else []
    tables = [_networks_table(diagnosis.cost), *phases, _rows_table(rows, findings)]
    return _section(title, tables)


def findings_report(findings: list[Finding]) -> Text:
    """All findings with their hints, errors first; not wrapped, so that options can be copied."""
    if not findings:
        return Text.assemble(("✓", "green"), " no problems found")
    parts: list[str | tuple[str, str]] = []
    for finding in sorted(findings, key=lambda finding: finding.severity != "error"):
        sign, colour = _MARKS[finding.severity]
        parts += [(f"{sign} {finding.severity}: ", colour), f"{finding.message}\n"]
        parts += [(f"  {line}\n", "dim") for line in finding.hint.splitlines()]
    text = Text.assemble(*parts)
    text.rstrip()
    return text


def _section(title: str, parts: Iterable[RenderableType]) -> RenderableType:
    indented = [Padding(part, (0, 0, 1, 2)) for part in parts]
    return Group(Text(title, "bold"), *indented)


def _rows_table(rows: list[Row], findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold", min_width=10)
    table.add_column(overflow="fold")
    for row in rows:
        sign, colour = _MARKS[worst_severity(findings, row.about)]
        table.add_row(Text(sign, colour), row.about, Text(row.text))
    return table


def _networks_table(cost: RecipeCost) -> Table:
    table = _number_table("network", "parameters", "multiply-adds per image")
    for name, network in (("G", cost.generator), ("D", cost.discriminator)):
        table.add_row(name, f"{network.parameters:,}", format_metric(network.multiply_adds))
    return table


def _phases_table(estimate: RunEstimate) -> Table:
    table = _number_table("phase", f"for {format_items(estimate.batch, 'image')}", "every", "share of time")
    for phase in estimate.phases:
        every = "step" if phase.interval == 1 else f"{phase.interval} steps"
        part = format_percent(phase.seconds_per_step, estimate.seconds_per_step)
        table.add_row(phase.name, format_seconds(phase.seconds), every, part)
    return table


def _number_table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _speed(estimate: RunEstimate) -> str:
    digits = 0 if estimate.sec_per_kimg >= 100 else 1
    speed = f"{estimate.sec_per_kimg:,.{digits}f} sec/kimg, {1000 / estimate.sec_per_kimg:,.3g} images per second"
    steps = format_items(estimate.measured_steps, "step")
    how = f"measured in {steps}" if estimate.exact else f"estimated from {steps} of {estimate.measured_size}"
    if not estimate.compile_seconds:
        return f"{speed}, {how}"
    return f"{speed}, {how}; compiling takes {format_duration(estimate.compile_seconds)} at the start"


def _time(estimate: RunEstimate) -> str:
    hours, days = estimate.hours, estimate.hours / 24
    text = format_duration(3600 * hours) if days < 2 else f"{hours:,.0f} hours ({days:,.0f} days)"
    return f"{text} for {format_count(estimate.total)} images, without grids, saves and evaluations"


def _memory(estimate: RunEstimate) -> str:
    images = format_items(estimate.micro_batch_size, "image")
    if estimate.exact_memory:
        return f"{format_bytes(estimate.memory)} with micro-batches of {images}, measured"
    return (
        f"{format_bytes(estimate.memory)} with micro-batches of {images}, estimated from "
        f"{format_bytes(estimate.measured_memory)} with {estimate.measured_size}"
    )


def _files(cost: RecipeCost) -> str:
    files = cost.files
    parts = [
        _count(files.states, "state", files.state),
        _count(files.models, "model", files.model),
        *([_count(files.averages, "average", files.average)] if files.averages else []),
    ]
    return f"{format_bytes(files.total)} at the end: {', '.join(parts)}, and grids"


def _count(number: int, name: str, size: int) -> str:
    return f"{format_items(number, name)} of {format_bytes(size)}"


def _settings(diagnosis: Diagnosis) -> str:
    run = diagnosis.recipe.run
    parts = [
        diagnosis.precision,
        "TF32" if uses_tf32(run.tf32, device_facts(diagnosis.device)) else "",
        diagnosis.attention,
        f"micro_batch {run.micro_batch}" if run.micro_batch else "",
        f"recompute from {run.recompute_from} px" if run.recompute_from else "",
        "compiled" if run.compile else "",
        "channels last" if run.channels_last else "",
        "CUDA graphs" if run.cuda_graphs and diagnosis.device.type == "cuda" else "",
    ]
    return _joined(filter(None, parts))


def _data(data: DatasetStatus) -> str:
    if data.images is not None:
        return f"{format_items(data.images, 'image')} in {data.path}"
    if data.path is None:
        return "no data set in the recipe"
    if data.there:
        return f"{data.path}: unusable"
    return f"{data.path}: will be prepared from {data.source}" if data.source else f"{data.path}: does not exist yet"


def _joined(parts: Iterable[str]) -> str:
    return " · ".join(parts)
