"""A diagnosis for people: lines of text in the width and the colours of where they go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from swincli.diagnosis.checks import Data
from swincli.diagnosis.cost import Cost
from swincli.diagnosis.diagnosis import Diagnosis
from swincli.diagnosis.estimate import Estimate
from swincli.diagnosis.findings import Finding, worst
from swincli.diagnosis.machine import Machine
from swincli.diagnosis.words import brief, counted, share, short
from swincli.units import format_bytes, format_count, format_duration

PIPED_WIDTH = 100  # columns where there is no terminal
_MARKS = {None: ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
_ASCII = {"✓": "+", "✗": "x", "·": "-"}


def lines_of(renderable: RenderableType) -> list[str]:
    """What is to go to stdout, line by line: coloured on a terminal, plain elsewhere, in ASCII where that is all."""
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
    """One line of a section: what it is about, what is to be said, and whether anything was found about it."""

    about: str
    words: str


def machine_view(machine: Machine, findings: list[Finding]) -> RenderableType:
    """The machine, one thing a line."""
    processor, versions = machine.processor, machine.versions
    cores = f"{processor.usable_cores} of {processor.cores} cores usable, {counted(machine.threads, 'thread')}"
    rows = [
        Row("versions", _joined(f"{name} {version}" for name, version in versions.items() if version)),
        Row("system", machine.system),
        Row("processor", _joined([processor.name, cores, *processor.instructions])),
        Row("memory", f"{format_bytes(machine.memory)}, {format_bytes(machine.available)} of it free"),
        *[
            Row(
                "GPU",
                _joined(
                    [
                        each.device,
                        each.name,
                        f"{format_bytes(each.memory)}, {format_bytes(each.free)} of it free",
                        *([f"compute capability {each.capability}"] if each.capability else []),
                        *(["bf16"] if each.bf16 else []),
                    ]
                ),
            )
            for each in machine.devices
        ],
        *([] if machine.devices else [Row("GPU", "none that PyTorch can use")]),
        Row("device", f"networks run on {machine.device}"),
        Row("disk", f"{format_bytes(machine.disk_free)} free for runs under {machine.disk}"),
        *(Row("weights", f"{each.detector}: {each.path or 'not installed'}") for each in machine.weights),
        Row("packages", _joined(f"{name} {version or 'not installed'}" for name, version in machine.packages.items())),
        Row("compiler", machine.compiler or "none for C++, which run.compile needs on a CPU"),
    ]
    return _section("Machine", [_facts(rows, findings)])


def recipe_view(name: str, diagnosis: Diagnosis) -> RenderableType:
    """A recipe on the machine: networks, phases, and what a run comes to."""
    recipe, measured, findings = diagnosis.recipe, diagnosis.estimate, diagnosis.findings
    rows = []
    if measured:
        rows += [Row("speed", _speed(measured)), Row("time", _time(measured)), Row("memory", _memory(measured))]
    rows += [
        Row("files", _files(diagnosis.cost)),
        Row("settings", _settings(diagnosis)),
        Row("data", _data(diagnosis.data)),
    ]
    if recipe.train.init is not None:
        rows.append(Row("init", diagnosis.init or recipe.train.init))
    title = f"{name} on {diagnosis.device}: {recipe.model.size} px, {counted(recipe.train.batch, 'image')} a step"
    tables = [_networks(diagnosis.cost), *([_phases(measured)] if measured else []), _facts(rows, findings)]
    return _section(title, tables)


def findings_view(findings: list[Finding]) -> Text:
    """What was found, the errors first, each with what to do; not wrapped, as it holds what can be pasted."""
    if not findings:
        return Text.assemble(("✓", "green"), " nothing amiss was found")
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


def _facts(rows: list[Row], findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold", min_width=10)
    table.add_column(overflow="fold")
    for row in rows:
        sign, colour = _MARKS[worst(findings, row.about)]
        table.add_row(Text(sign, colour), row.about, Text(row.words))
    return table


def _networks(cost: Cost) -> Table:
    table = _numbers("network", "parameters", "multiply-adds of an image")
    for name, network in (("G", cost.generator), ("D", cost.discriminator)):
        table.add_row(name, f"{network.parameters:,}", short(network.multiply_adds))
    return table


def _phases(measured: Estimate) -> Table:
    table = _numbers("phase", f"for {counted(measured.batch, 'image')}", "every", "of the time")
    for phase in measured.phases:
        every = "step" if phase.interval == 1 else f"{phase.interval} steps"
        table.add_row(phase.name, brief(phase.seconds), every, share(phase.a_step, measured.seconds_a_step))
    return table


def _numbers(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _speed(measured: Estimate) -> str:
    digits = 0 if measured.sec_per_kimg >= 100 else 1
    pace = f"{measured.sec_per_kimg:,.{digits}f} sec/kimg, {1000 / measured.sec_per_kimg:,.3g} images a second"
    steps = counted(measured.measured_steps, "step")
    how = f"measured in {steps}" if measured.exact else f"estimated from {steps} of {measured.taken}"
    compiled = f"; compiling takes {format_duration(measured.compiling)} at the start" if measured.compiling else ""
    return f"{pace}, {how}{compiled}"


def _time(measured: Estimate) -> str:
    hours, days = measured.hours, measured.hours / 24
    words = format_duration(3600 * hours) if days < 2 else f"{hours:,.0f} hours, or {days:,.0f} days,"
    return f"{words} for {format_count(measured.total)} images, without grids, saves and measurements"


def _memory(measured: Estimate) -> str:
    images = counted(measured.pass_images, "image")
    if measured.exact_memory:
        return f"{format_bytes(measured.memory)} with passes of {images}, measured"
    return (
        f"{format_bytes(measured.memory)} with passes of {images}, estimated from "
        f"{format_bytes(measured.measured_memory)} with {measured.taken}"
    )


def _files(cost: Cost) -> str:
    files = cost.files
    parts = [
        _count(files.states, "state", files.state),
        _count(files.models, "model", files.model),
        *([_count(files.averages, "average", files.average)] if files.averages else []),
    ]
    return f"{format_bytes(files.total)} at the end: {', '.join(parts)}, and grids"


def _count(number: int, name: str, size: int) -> str:
    return f"{counted(number, name)} of {format_bytes(size)}"


def _settings(diagnosis: Diagnosis) -> str:
    run = diagnosis.recipe.run
    parts = [
        diagnosis.precision,
        "TF32" if run.tf32 else "",
        f"micro_batch {run.micro_batch}" if run.micro_batch else "",
        f"recomputed from {run.recompute_from} px" if run.recompute_from else "",
        "compiled" if run.compile else "",
        "channels last" if run.channels_last else "",
    ]
    return _joined(filter(None, parts))


def _data(data: Data) -> str:
    if data.images is not None:
        return f"{counted(data.images, 'image')} in {data.path}"
    if data.path is None:
        return "none named"
    if data.there:
        return f"{data.path}: unfit"
    return f"{data.path}: to be made from {data.source}" if data.source else f"{data.path}: not there yet"


def _joined(parts: Iterable[str]) -> str:
    return " · ".join(parts)
