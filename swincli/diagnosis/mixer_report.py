"""The tables of `swincli doctor --mixers`, and the recipe for a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from swincli.diagnosis.mixer_costs import MixerTable, Network, with_mixers
from swincli.errors import UsageError
from swincli.model.mixers.registry import mixers_with
from swincli.recipe import Recipe, dump_recipe
from swincli.recipe.loading import files_of
from swincli.system.atomic_files import write_atomically
from swincli.system.overwrite import check_overwrite
from swincli.units import format_bytes, format_metric, format_seconds

NOTE = "# Written by swincli doctor --mixers"


@dataclass(frozen=True)
class Choice:
    """The network for a budget.

    Attributes:
        network: The network.
        changed: Its mixers that are not the recipe's own, by resolution.
        estimated: Its sampling time by the blocks that were measured, as a share of the recipe's own.
        measured: The same by whole generators, timed in turn.
    """

    network: Network
    changed: dict[int, str]
    estimated: float
    measured: float

    @property
    def mixers(self) -> str:
        """The changed mixers as TOML."""
        return ", ".join(f'"{side}" = "{name}"' for side, name in sorted(self.changed.items()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"chosen": self.network.chosen, "estimated": self.estimated, "measured": self.measured}


def mixer_report(name: str, table: MixerTable, device: str) -> RenderableType:
    """Costs of every mixer in a block of the recipe, one image at a time, and the Pareto front of the whole G."""
    parts: list[RenderableType] = [Text(f"{name} on {device}: a block with each mixer, one image", style="bold")]
    parts.append(Padding(_blocks_table(table), (0, 0, 1, 2)))
    if table.too_large:
        names = ", ".join(f"{name} at {side} px" for side, name in table.too_large)
        parts.append(Padding(Text(f"not measured, more than the memory: {names}"), (0, 0, 1, 2)))
    parts.append(Text("The whole generator: sampling time against attention kept (Pareto front)", style="bold"))
    parts.append(Padding(_front_table(table), (0, 0, 1, 2)))
    return Group(*parts)


def _columns(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < 2 else "right")
    return table


def _blocks_table(table: MixerTable) -> Table:
    """Every block; ratios are to the recipe's own mixer at the same resolution."""
    lines = _columns("map", "mixer", "MACs", "parameters", "forward", "of own", "and backward", "of own", "kept")
    own = {cost.resolution: cost for cost in table.costs if table.own.chosen[cost.resolution] == cost.name}
    for cost in sorted(table.costs, key=lambda cost: (cost.resolution, cost.forward)):
        base = own.get(cost.resolution)
        lines.add_row(
            f"{cost.resolution} px",
            cost.name,
            format_metric(cost.multiply_adds),
            f"{cost.parameters:,}",
            format_seconds(cost.forward),
            _ratio(cost.forward, base.forward if base else None),
            format_seconds(cost.step),
            _ratio(cost.step, base.step if base else None),
            format_bytes(cost.kept),
        )
    return lines


def _front_table(table: MixerTable) -> Table:
    lines = _columns("attention up to", "above it", "forward", "of own", "and backward", "of own", "kept by blocks")
    own = table.own
    for network in table.front:
        changed = _changed(own, network)
        lines.add_row(
            f"{network.attention_to} px" if changed else "as it is",
            ", ".join(f"{name} at {side}" for side, name in sorted(changed.items())),
            format_seconds(network.forward),
            _ratio(network.forward, own.forward),
            format_seconds(network.step),
            _ratio(network.step, own.step),
            format_bytes(network.kept),
        )
    return lines


def _ratio(value: float, base: float | None) -> str:
    return "" if base is None else f"{value / base:.2f}"


def _changed(own: Network, network: Network) -> dict[int, str]:
    return {side: name for side, name in network.chosen.items() if own.chosen[side] != name}


def network_for(table: MixerTable, budget: float, *, some: bool = False) -> Network:
    """The network for `--budget`.

    Args:
        table: The measurements.
        budget: Share of the sampling time.
        some: Whether only some mixers were measured.

    Raises:
        UsageError: no exchange of mixers reaches it.
    """
    found = table.within(budget)
    if found is None:
        least = table.front[-1].forward / table.own.forward
        rest = "The MLPs take most of the rest: a smaller model.mlp_ratio at the largest resolutions saves more."
        raise UsageError(
            f"--budget {budget:g}: the fastest mixers{' of --only' if some else ''} take {least:.2f} of the time",
            "Measure the others too, without --only." if some else rest,
        )
    return found


def check_recipe_path(path: Path, base: str, *, force: bool) -> None:
    """Check, before the measurement, that the recipe may be written.

    Args:
        path: The file.
        base: The measured recipe: a path, or the name of a shipped one.
        force: Whether any other file may be replaced.

    Raises:
        UsageError: the measured recipe is that file, or extends it.
        DataError: the file exists and was not written by this, and there is no `force`.
    """
    if path.resolve() in files_of(base):
        raise UsageError(f"--write {path}: {base} is made of this file", "Choose another name.")
    check_overwrite([path], force=force, is_own=lambda file: file.read_bytes().startswith(NOTE.encode()))


def choice_of(table: MixerTable, network: Network, measured: float) -> Choice:
    """A network with its share of the recipe's sampling time."""
    return Choice(network, _changed(table.own, network), network.forward / table.own.forward, measured)


def write_recipe(path: Path, base: str, recipe: Recipe, choice: Choice, *, complete: bool = False) -> None:
    """Write a recipe with the mixers of a choice.

    Args:
        path: The file.
        base: The measured recipe: a path, or the name of a shipped one.
        recipe: The measured recipe, with all overrides.
        choice: The mixers.
        complete: Write all keys, for a recipe with overrides. Otherwise the file extends `base`.

    Raises:
        ResourceError: the file cannot be written.
    """
    head = [
        f"{NOTE}: {recipe.model.size} px, attention up to {choice.network.attention_to} px.",
        f"# Sampling took {choice.measured:.2f} of the time of the measured recipe: whole generators in turn, on the",
        f"# machine that wrote this. By the sum of its blocks it was {choice.estimated:.2f}.",
    ]
    if complete:
        section = with_mixers(recipe.model, choice.network.chosen) if choice.changed else recipe.model
        head.append(f"# All keys of {base} and of the options that were given with it.")
        content = dump_recipe(recipe.model_copy(update={"model": section}))
    else:
        local = Path(base)
        model = {"mixer": mixers_with(recipe.model, choice.network.chosen)} if choice.changed else {}
        content = tomli_w.dumps({"extends": str(local.resolve()) if local.is_file() else base, "model": model})
    text = "\n".join([*head, "", content])
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def chosen_lines(path: Path | None, choice: Choice) -> Sequence[str]:
    """What `--budget` chose, in one line, and the file it wrote."""
    text = f"model.mixer = {{{choice.mixers}}}" if choice.changed else "no exchange is needed"
    shares = f"{choice.measured:.2f} of the sampling time ({choice.estimated:.2f} by the sum of the blocks)"
    return [f"{shares}: {text}", *([str(path)] if path else [])]
