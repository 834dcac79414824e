"""`swincli doctor`: describes the machine, and measures what training a recipe takes on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swincli.commands.options import EXPERIMENT, DataOption, ForceOption, OverridesOption, recipe_overrides
from swincli.commands.typer_command import Result, device_command
from swincli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from swincli.console import Console
    from swincli.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class DoctorRequest:
    """The options of `swincli doctor`: a recipe with its overrides, and what to do with it."""

    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="Path of a recipe, or name of a shipped one.")
    ] = None
    overrides: OverridesOption = None
    data: DataOption = None
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Steps to measure, after warm-up steps; default: as many as fit into a minute.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = None
    augment: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Measure nothing; draw what D sees of the recipe's images at p = 0, 0.3, 0.8 and the recipe's own p.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = None
    mixers: Annotated[
        bool,
        typer.Option(
            "--mixers",
            help="Measure every token mixer at every resolution of G instead, and which to exchange for speed.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = False
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="With --mixers: measure only these, such as dw7,grid, and the recipe's own, in less time.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = None
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="With --mixers: choose mixers whose sampling takes at most this share of the time, such as 0.8.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = None
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="With --budget: write the recipe with the chosen mixers.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = None
    force: ForceOption = False

    @cached_property
    def loaded_recipe(self) -> Recipe | None:
        """The recipe with everything it extends and all overrides; None if none was given.

        Raises:
            RecipeError: it is missing or has problems.
        """
        from swincli.recipe import load_recipe

        return None if self.recipe is None else load_recipe(self.recipe, recipe_overrides(self.overrides, self.data))

    def check(self) -> None:
        """Check the recipe, and that the options fit it.

        Raises:
            UsageError: it has problems, or options need something that is not there.
        """
        wanted = (self.overrides, self.data, self.steps, self.augment, self.mixers or None)
        if self.recipe is None and any(option is not None for option in wanted):
            raise UsageError(
                "--set, --data, --steps, --augment, --mixers: need a recipe", "For example swincli doctor quickstart"
            )
        recipe = self.loaded_recipe
        self._check_mixers()
        if self.augment is None:
            if self.force and self.write is None:
                raise UsageError("--force: needs --augment or --write", "Nothing else writes a file.")
            return
        if self.mixers:
            raise UsageError("--augment: draws, and --mixers measures", "Leave one of them out.")
        if self.steps is not None:
            raise UsageError("--steps: nothing is measured with --augment", "Leave one of them out.")
        if self.augment.suffix != ".png":
            raise UsageError(f"--augment {self.augment}: must be a .png file", "For example --augment augment.png")
        if recipe is not None and recipe.augment.transforms == "none":
            raise UsageError(
                "--augment: the recipe has no augment.transforms",
                "For example --set augment.transforms=ada, or diffaugment.",
            )

    def _check_mixers(self) -> None:
        if self.only is not None and not self.mixers:
            raise UsageError("--only: needs --mixers", "For example --mixers --only dw7,grid")
        if self.budget is not None and not self.mixers:
            raise UsageError("--budget: needs --mixers", "For example --mixers --budget 0.8")
        if self.budget is not None and not 0 < self.budget <= 1:
            raise UsageError(f"--budget {self.budget:g}: must be above 0 and at most 1", "For example --budget 0.8")
        if self.write is not None and self.budget is None:
            raise UsageError("--write: needs --budget", "For example --mixers --budget 0.8 --write hybrid.toml")
        if self.write is not None and self.write.suffix != ".toml":
            raise UsageError(f"--write {self.write}: must be a .toml file", "For example --write hybrid.toml")
        if self.mixers and self.steps is not None:
            raise UsageError("--steps: no training steps are measured with --mixers", "Leave one of them out.")


@device_command(DoctorRequest)
def doctor(request: DoctorRequest, device: torch.device, console: Console) -> Result:
    """Check this machine: PyTorch, devices, cores, memory, disk, weights.

    On a GPU, also compare a forward and a step of small networks with the CPU.

    With a recipe, also measure its networks and the time and memory of training, in a few steps on noise.

    Exits with 1 if something cannot work. Writes nothing but the picture of --augment and the recipe of --write.
    """
    if request.mixers:
        return measure_mixers(request, device, console)
    if request.augment is not None:
        return draw_augmentation(request, request.augment)

    def print_now(lines: list[str]) -> None:
        console.emit({}, lines)

    return run(request, device, console, None if console.json_mode else print_now)


def measure_mixers(request: DoctorRequest, device: torch.device, console: Console) -> Result:
    """Measure every mixer of the recipe's G, and choose some for `--budget`.

    Raises:
        SwincliError: there is no such mixer, the budget is out of reach, or the recipe cannot be written.
    """
    from swincli.diagnosis import mixer_costs, mixer_report
    from swincli.diagnosis.report import render_lines
    from swincli.system import runtime

    recipe = request.loaded_recipe
    assert recipe is not None and request.recipe is not None  # noqa: PT018
    if request.write is not None:
        mixer_report.check_recipe_path(request.write, request.recipe, force=request.force)
    runtime.configure(tf32=recipe.run.tf32, fixed_shapes=True)
    names = None if request.only is None else [name.strip() for name in request.only.split(",")]
    table = mixer_costs.measure_mixers(recipe, device, console, names)
    lines = render_lines(mixer_report.mixer_report(request.recipe, table, str(device)))
    facts = table.to_dict()
    if request.budget is not None:
        try:
            network = mixer_report.network_for(table, request.budget, some=names is not None)
        except UsageError:
            console.emit({"mixers": facts}, lines)  # it took minutes
            raise
        measured = 1.0
        if network.chosen != table.own.chosen:
            console.say("measuring the chosen generator and the recipe's own in turn")
            measured = mixer_costs.measured_share(recipe, network, device)
        choice = mixer_report.choice_of(table, network, measured)
        if measured > request.budget:
            console.warn(f"--budget {request.budget:g}: the whole generator took {measured:.2f}; try a lower budget")
        if request.write is not None:
            complete = bool(recipe_overrides(request.overrides, request.data))
            mixer_report.write_recipe(request.write, request.recipe, recipe, choice, complete=complete)
        facts |= choice.to_dict() | {"recipe": None if request.write is None else str(request.write)}
        lines += mixer_report.chosen_lines(request.write, choice)
    return Result({"mixers": facts}, lines)


def draw_augmentation(request: DoctorRequest, path: Path) -> Result:
    """Write the page of `--augment`.

    Raises:
        UsageError: the recipe names no images.
        SwincliError: they do not fit it, or the page cannot be written.
    """
    from swincli.data.store.reader import Store
    from swincli.diagnosis.augment_page import check_page_path, draw_augment_page, save_page

    recipe = request.loaded_recipe
    assert recipe is not None
    if recipe.data.path is None:
        raise UsageError("data.path: the recipe names no data set", "Give --data STORE.")
    check_page_path(path, force=request.force)
    page = draw_augment_page(recipe, Store.open(recipe.data.path))
    save_page(path, page)
    facts = {"picture": str(path), "p": list(page.probabilities), "images": page.images}
    return Result({"augment": facts}, [str(path)])


def run(
    request: DoctorRequest,
    device: torch.device,
    console: Console,
    print_machine: Callable[[list[str]], None] | None = None,
) -> Result:
    """Describe the machine and, with a recipe, measure training steps.

    Args:
        request: Checked options.
        device: Where the recipe's networks go.
        console: Receives progress.
        print_machine: Prints the lines about the machine before the recipe is measured, which takes a while. The result
            then has only the other lines.

    Raises:
        SwincliError: as `diagnose` does.
    """
    from swincli.diagnosis.device_check import check_device
    from swincli.diagnosis.diagnosis import diagnose
    from swincli.diagnosis.machine import check_machine, inspect_machine
    from swincli.diagnosis.report import findings_report, machine_report, recipe_report, render_lines
    from swincli.system import runtime

    recipe = request.loaded_recipe
    runtime.configure(tf32=recipe is not None and recipe.run.tf32, fixed_shapes=recipe is not None)
    machine = inspect_machine(device)
    findings, facts = check_machine(machine), machine.to_dict()
    check = check_device(device, console) if device.type != "cpu" else None
    if check is not None:
        findings += check.findings()
        facts["check"] = check.to_dict()
    lines = render_lines(machine_report(machine, findings, check))
    if print_machine is not None:
        print_machine(lines)
        lines = []
    if recipe is not None and request.recipe is not None:
        diagnosis = diagnose(recipe, machine, device, console, request.steps)
        findings += diagnosis.findings
        facts["recipe"] = {"name": request.recipe, **diagnosis.to_dict()}
        lines += render_lines(recipe_report(request.recipe, diagnosis))
    facts["findings"] = [finding.to_dict() for finding in findings]
    lines += render_lines(findings_report(findings))
    return Result(facts, lines, failed=any(finding.severity == "error" for finding in findings))
