"""`swincli doctor`: what this machine has, and what a recipe comes to on it."""

from __future__ import annotations

from typing import Annotated

import typer

from swincli.commands.options import (
    EXPERIMENT,
    DataOption,
    DebugOption,
    Device,
    DeviceOption,
    JsonOption,
    OverridesOption,
    QuietOption,
    boundary,
    overrides_of,
)


def doctor(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="A recipe's path, or a shipped recipe's name.")
    ] = None,
    overrides: OverridesOption = None,
    data: DataOption = None,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Steps to measure, after some to warm up; what fits into a minute by default.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Look at the machine: PyTorch, devices, cores, memory, disk, weights.

    With a recipe: also its networks, and the time and memory that training takes here, from a few steps with noise.

    Nothing is written. It exits with 1 where something cannot be used as it is.
    """
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.errors import UsageError
        from swincli.recipe import load_recipe

        if recipe is None and (overrides or data is not None or steps is not None):
            raise UsageError("--set, --data and --steps need a recipe", "For example swincli doctor quickstart")
        loaded = load_recipe(recipe, overrides_of(overrides, data)) if recipe is not None else None

        from swincli.diagnosis.diagnosis import diagnose
        from swincli.diagnosis.machine import check_machine, inspect_machine
        from swincli.diagnosis.report import findings_report, machine_report, recipe_report, render_lines
        from swincli.system import runtime

        runtime.configure(tf32=loaded is not None and loaded.run.tf32)
        place = runtime.choose_device(device.value)
        machine = inspect_machine(place)
        found, facts = check_machine(machine), machine.to_dict()
        if not json_mode:
            console.emit({}, render_lines(machine_report(machine, found)))  # at once: measuring a recipe takes its time
        lines: list[str] = []
        if loaded is not None and recipe is not None:
            diagnosis = diagnose(loaded, machine, place, console, steps)
            found += diagnosis.findings
            facts["recipe"] = {"name": recipe, **diagnosis.to_dict()}
            lines = render_lines(recipe_report(recipe, diagnosis))
        facts["findings"] = [finding.to_dict() for finding in found]
        console.emit(facts, [*lines, *render_lines(findings_report(found))])
        if any(finding.severity == "error" for finding in found):
            raise typer.Exit(1)
