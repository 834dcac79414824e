"""Post-hoc EMA (Karras et al., 2024): reconstruct an EMA of any width from a run's snapshots, write it as a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from swincli.errors import CheckpointError, RecipeError, UsageError
from swincli.model.files.ancestry import ancestry_note, read_ancestors, with_parent
from swincli.model.files.find_checkpoint import METADATA
from swincli.model.files.label_notes import attributes_in, classes_in, label_notes
from swincli.model.files.model_file import FORMAT, mean_w_tensors
from swincli.model.files.snapshot import Weights, require_shapes, shapes_of
from swincli.model.files.tensor_file import write_tensors
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe
from swincli.recipe.loading import parse_recipe
from swincli.recipe.private import dump_public_recipe
from swincli.training.ema.power_profiles import (
    NARROWEST,
    WIDEST,
    PosthocSolution,
    PowerProfile,
    solve_posthoc_coefficients,
)
from swincli.training.ema.snapshots import PowerSnapshot, find_power_snapshots, read_weights

POOR_FIT = 0.1  # relative distance of profiles from which the reconstruction is poor


@dataclass(frozen=True)
class ReconstructionPlan:
    """Which snapshots make an EMA, with which coefficients.

    Attributes:
        wanted: Profile of the EMA to reconstruct.
        snapshots: All snapshots of the run up to that moment.
        solution: Coefficient of each snapshot, and the error of the fit.
    """

    wanted: PowerProfile
    snapshots: list[PowerSnapshot]
    solution: PosthocSolution

    @property
    def needed(self) -> list[tuple[PowerSnapshot, float]]:
        """Snapshots with a coefficient other than 0, and their coefficients."""
        return [pair for pair in zip(self.snapshots, self.solution.coefficients, strict=True) if pair[1]]


def plan_reconstruction(run: Path, width: float, at: int | None = None) -> ReconstructionPlan:
    """Choose snapshots and solve for their coefficients; reads no weights.

    Args:
        run: A run that was trained with `ema.power`.
        width: Relative width of the EMA, 0.01 to 0.28.
        at: Images seen of the snapshot to end at; None for the last one.

    Raises:
        UsageError: the width is out of range, there was no snapshot at that moment, or there are too few.
        CheckpointError: the run has no snapshots, or one is damaged.
    """
    if not NARROWEST <= width <= WIDEST:
        raise UsageError(f"--ema-width {width:g}: must be from {NARROWEST} to {WIDEST}", "Usual widths: 0.03 to 0.2.")
    if not run.is_dir():
        raise UsageError(f"{run}: not a run folder, which --ema-width needs", "A run keeps its EMAs in averages/.")
    snapshots = find_power_snapshots(run)
    if not snapshots:
        raise CheckpointError(
            f"{run}: has no power-function EMAs",
            "Only training can make them, with --set 'ema.power=[0.05, 0.1]'.",
        )
    moments = sorted({snapshot.profile.images_seen for snapshot in snapshots})
    moment = moments[-1] if at is None else _moment(moments, at, _recipe(snapshots[-1]).train.batch, run)
    usable = [snapshot for snapshot in snapshots if snapshot.profile.images_seen <= moment]
    given, wanted = [snapshot.profile for snapshot in usable], PowerProfile(width, moment)
    if len({profile.images_seen for profile in given}) < 2 and wanted not in given:
        widths = " and ".join(f"{profile.width:g}" for profile in given)
        raise UsageError(
            f"--ema-width {width:g}: until {moment:,} images {run} has only one snapshot, of width {widths}",
            "Give one of these widths, or a later --at. Other widths need two snapshots, and ten for a good fit.",
        )
    return ReconstructionPlan(wanted, usable, solve_posthoc_coefficients(given, wanted))


def _moment(moments: list[int], at: int, batch: int, run: Path) -> int:
    """Images seen of the snapshot that was due at `at`. Steps rarely end on a round number."""
    for moment in moments:
        if at <= moment < at + batch:
            return moment
    near = sorted(moments, key=lambda moment: abs(moment - at))[:2]
    listed = " and ".join(f"{moment:,}" for moment in sorted(near))
    raise UsageError(f"--at {at:,}: {run} has no snapshot there", f"The nearest are after {listed} images.")


def write_reconstruction(plan: ReconstructionPlan, dest: Path, advance: Callable[[], object]) -> None:
    """Sum the snapshots in float64 and write a model; its metadata has the width.

    Buffers, such as AdaBN's running statistics, are those of the last snapshot.

    Args:
        plan: What to reconstruct.
        dest: A .safetensors file.
        advance: Called after every snapshot.

    Raises:
        CheckpointError: a snapshot is damaged, or does not fit the run's recipe.
        ResourceError: the file cannot be written.
    """
    last = plan.snapshots[-1]
    run = last.path.parent.parent  # RUN/averages/power-*.safetensors
    recipe, attributes = _recipe(last), attributes_in(last.path, last.about)
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
    tensors = {f"g.{name}": value for name, value in generator.state_dict().items()}
    tensors |= mean_w_tensors(generator, attributes)
    about = {
        "format": FORMAT,
        "recipe": dump_public_recipe(recipe),
        "images_seen": plan.wanted.images_seen,
        "ema_width": plan.wanted.width,
        **label_notes(classes_in(last.path, last.about), attributes),
        **ancestry_note(with_parent(read_ancestors(last.about), run, "average", plan.wanted.images_seen, hashed=False)),
    }
    write_tensors(dest, tensors, METADATA, about)


def _fitting(snapshot: PowerSnapshot, shapes: dict[str, tuple[int, ...]]) -> Weights:
    """The weights of a snapshot, checked against the shapes of the run's G."""
    weights = read_weights(snapshot)
    require_shapes(shapes, weights, f"{snapshot.path}: its networks differ from those of the run's last snapshot")
    return weights


def _recipe(snapshot: PowerSnapshot) -> Recipe:
    try:
        return parse_recipe(snapshot.about["recipe"], f"{snapshot.path}: its recipe")
    except (KeyError, TypeError, RecipeError) as error:
        raise CheckpointError(f"{snapshot.path}: its metadata is damaged: {error}") from error
