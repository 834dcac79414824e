"""An average of any width out of those that a run has kept, as a model that every command takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from swincli.errors import CheckpointError, RecipeError, UsageError
from swincli.model.files.classes import Classes
from swincli.model.files.model_file import FORMAT, METADATA, mean_w_tensors
from swincli.model.files.snapshot import Weights, require_shapes, shapes_of
from swincli.model.files.tensor_file import write_tensors
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe, dump_recipe
from swincli.recipe.loading import parse_recipe
from swincli.training.ema.power_profiles import NARROWEST, WIDEST, Mixture, Profile, mix
from swincli.training.ema.snapshots import PowerSnapshot, find_power_snapshots, read_weights

POOR_FIT = 0.1  # distance of profiles, as a share, from which an average is no longer what was asked for


@dataclass(frozen=True)
class Plan:
    """What an average will be made of.

    Attributes:
        wanted: Its profile.
        snapshots: The averages that it is mixed from: all that the run kept up to its moment.
        mixture: The share of each, and how near they come.
    """

    wanted: Profile
    snapshots: list[PowerSnapshot]
    mixture: Mixture

    @property
    def needed(self) -> list[tuple[PowerSnapshot, float]]:
        """Averages and shares, without those that have none."""
        return [pair for pair in zip(self.snapshots, self.mixture.shares, strict=True) if pair[1]]


def plan_average(run: Path, width: float, at: int | None = None) -> Plan:
    """Choose what makes an average of a width, without reading any weights.

    Args:
        run: A run that was trained with `ema.power`.
        width: Relative width, 0.01 to 0.28.
        at: When snapshots were due, in images; None for the last ones.

    Raises:
        UsageError: the width is out of range, there were no snapshots at that moment, or there are too few.
        CheckpointError: the run has none, or one is damaged.
    """
    if not NARROWEST <= width <= WIDEST:
        raise UsageError(f"--ema-width {width:g}: must be from {NARROWEST} to {WIDEST}", "The usual ones: 0.03 to 0.2.")
    if not run.is_dir():
        raise UsageError(f"--ema-width: {run} is no run folder", "Averages lie in the run's folder averages/.")
    snapshots = find_power_snapshots(run)
    if not snapshots:
        raise CheckpointError(
            f"{run}: holds no power-function averages",
            "They are kept while training, with --set 'ema.power=[0.05, 0.1]', and cannot be had afterwards.",
        )
    moments = sorted({snapshot.profile.images_seen for snapshot in snapshots})
    moment = moments[-1] if at is None else _moment(moments, at, _recipe(snapshots[-1]).train.batch, run)
    usable = [snapshot for snapshot in snapshots if snapshot.profile.images_seen <= moment]
    given, wanted = [snapshot.profile for snapshot in usable], Profile(width, moment)
    if len({profile.images_seen for profile in given}) < 2 and wanted not in given:
        widths = " and ".join(f"{profile.width:g}" for profile in given)
        raise UsageError(
            f"--ema-width {width:g}: {run} has kept averages only once by {moment:,} images, of width {widths}",
            "Give one of these widths, or a later moment; other widths need two moments, and come out well from ten.",
        )
    return Plan(wanted, usable, mix(given, wanted))


def _moment(moments: list[int], at: int, batch: int, run: Path) -> int:
    """The moment of the snapshots that were due at `at`; steps of a batch rarely end on a round number."""
    for moment in moments:
        if at <= moment < at + batch:
            return moment
    near = sorted(moments, key=lambda moment: abs(moment - at))[:2]
    listed = " and ".join(f"{moment:,}" for moment in sorted(near))
    raise UsageError(f"--at {at:,}: {run} kept no averages then", f"The nearest are those after {listed} images.")


def write_average(plan: Plan, dest: Path, advance: Callable[[], object]) -> None:
    """Mix the averages in float64 and write a model; its metadata records the width.

    Buffers, such as the running statistics of AdaBN, are those of the snapshots' own moment.

    Args:
        plan: What to mix.
        dest: A .safetensors file.
        advance: Called after every snapshot.

    Raises:
        CheckpointError: a snapshot is damaged, or does not fit the run's recipe.
        ResourceError: the file cannot be written.
    """
    last = plan.snapshots[-1]
    recipe, classes = _recipe(last), _classes(last)
    with meta_init():
        generator = Generator(recipe.model)
    shapes = shapes_of(generator.state_dict())
    parameters = {name for name, _ in generator.named_parameters()}
    mixed: Weights = {name: torch.zeros(shapes[name], dtype=torch.float64) for name in parameters}
    for snapshot, share in plan.needed:
        weights = _fitting(snapshot, shapes)
        for name, total in mixed.items():
            total.add_(weights[name].double(), alpha=share)
        advance()
    fixed = {name: value for name, value in _fitting(last, shapes).items() if name not in parameters}
    state = {name: value.float() if value.is_floating_point() else value for name, value in (mixed | fixed).items()}
    generator.load_state_dict(state, assign=True)
    generator.requires_grad_(False).eval()
    tensors = {f"g.{name}": value for name, value in generator.state_dict().items()} | mean_w_tensors(generator)
    about = {
        "format": FORMAT,
        "recipe": dump_recipe(recipe),
        "images_seen": plan.wanted.images_seen,
        "ema_width": plan.wanted.width,
        **({"classes": asdict(classes)} if classes else {}),
    }
    write_tensors(dest, tensors, METADATA, about)


def _fitting(snapshot: PowerSnapshot, shapes: dict[str, tuple[int, ...]]) -> Weights:
    """The weights of a snapshot, once they have been seen to be those of the run's G."""
    weights = read_weights(snapshot)
    require_shapes(shapes, weights, f"{snapshot.path}: not of the same networks as the run's last average")
    return weights


def _recipe(snapshot: PowerSnapshot) -> Recipe:
    try:
        return parse_recipe(snapshot.about["recipe"], f"{snapshot.path}: its recipe")
    except (KeyError, TypeError, RecipeError) as error:
        raise CheckpointError(f"{snapshot.path}: its metadata is damaged: {error}") from error


def _classes(snapshot: PowerSnapshot) -> Classes | None:
    try:
        told = snapshot.about.get("classes")
        return Classes(tuple(told["names"]), tuple(told["images"])) if told else None
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{snapshot.path}: its metadata is damaged: its classes: {error}") from error
