"""Quality of projection in W, in W+ and with a tuned generator, for generated images and for real pictures.

`python benchmarks/project.py CHECKPOINT [--steps 1000] [--tune-steps 350] [--count 16] [--real SOURCE]` prints a table

- for generated images of seeds that neither training nor the projector's samples use; these lie in W,
- for real pictures: emoji other than faces, which quickstart-faces has never seen, or the pictures of --real,

and how much tuning changed the images of other seeds. `--json FILE` writes every figure of every image,
`--sheet FILE.png` shows the targets and their projections.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from swincli.commands.perception import choose_perception
from swincli.console import Console
from swincli.data.sources import open_source
from swincli.metrics.networks.stlpips import WEIGHTS, load_perceptual
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import Model, load_model
from swincli.model.files.tuned import with_deltas
from swincli.projection.inversion import (
    InversionSettings,
    StartPoints,
    default_inversion_batch,
    draw_start_points,
    invert,
)
from swincli.projection.losses import Objective
from swincli.projection.output_files import Similarity, measure_similarity
from swincli.projection.psnr_ssim import psnr
from swincli.projection.targets import Target, read_targets
from swincli.projection.tuning import TuningSettings, tune
from swincli.synthesis.figures.labelled_grid import GridLabels, draw_labelled_grid
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.output.provenance import save_png
from swincli.synthesis.sampling import generate, render
from swincli.system import runtime

FIRST_SEED = 1_000_000_000  # training does not use these seeds; the projector's samples start at 2^31
EMOJI, FACES = "builtin:emoji", "builtin:emoji-faces"
WAYS = ("W", "W+", "W+ tuned")


@dataclass(frozen=True)
class Outcome:
    """Targets, their projections and figures by method, and the change of other images by tuning."""

    name: str
    targets: list[Target]
    pictures: dict[str, Tensor]
    figures: dict[str, list[Similarity]]
    others: float
    seconds: float


def out(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def silent(step: int, codes: Tensor, losses: Tensor) -> None:
    """Ignore progress."""


def generated(model: Model, count: int) -> list[Target]:
    """Generated images of held-out seeds."""
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    pictures = torch.cat(list(generate(model, seeds)))
    return [Target(f"seed {seed}", f"seed-{seed}", picture) for seed, picture in zip(seeds, pictures, strict=True)]


def real(model: Model, source: str, count: int) -> list[Target]:
    """Pictures at equal distances in a source; of the emoji, those that are not faces."""
    targets = read_targets([source], model.recipe.model.size, "center", lambda text: None)  # noqa: ARG005
    if source == EMOJI:
        with open_source(FACES) as faces:
            known = {Path(entry.name).stem for entry in faces}
        targets = [target for target in targets if target.stem not in known]
    return targets[:: max(1, len(targets) // count)][:count]


def project(
    name: str,
    model: Model,
    objective: Objective,
    samples: StartPoints,
    targets: list[Target],
    steps: int,
    tune_steps: int,
) -> Outcome:
    """All three ways."""
    started, batch = time.perf_counter(), default_inversion_batch(model.recipe.model.size)
    found = WEIGHTS.find()
    distance = None if found is None else load_perceptual(found, model.device)
    pictures: dict[str, Tensor] = {}
    codes = torch.empty(0)
    for way, space in (("W", "w"), ("W+", "w+")):
        plan = InversionSettings(space=space, steps=steps)  # type: ignore[arg-type]
        parts = [targets[start : start + batch] for start in range(0, len(targets), batch)]
        codes = torch.cat([invert(model, objective, part, samples, plan, silent) for part in parts])
        pictures[way] = render(model, codes if space == "w+" else model.generator.broadcast(codes))
    changes = tune(model, objective, targets, codes, TuningSettings(steps=tune_steps), batch, silent)
    bent = with_deltas(model, changes)
    pictures["W+ tuned"] = render(bent, codes)
    figures = {
        way: [
            measure_similarity(target, picture, distance, model.device)
            for target, picture in zip(targets, pictures[way], strict=True)
        ]
        for way in WAYS
    }
    others = codes_of_seeds(model, range(16))
    moved = [psnr(one, other) for one, other in zip(render(model, others), render(bent, others), strict=True)]
    return Outcome(name, targets, pictures, figures, statistics.median(moved), time.perf_counter() - started)


def tell(outcomes: Sequence[Outcome]) -> None:
    """Print the table."""
    out(f"{'':24}{'':10}{'PSNR, dB':>28}{'SSIM':>9}{'stlpips':>10}{'>= 30 dB':>11}")
    out(f"{'':24}{'':10}{'min':>10}{'median':>9}{'mean':>9}{'mean':>9}{'mean':>10}")
    for outcome in outcomes:
        for way in WAYS:
            figures = outcome.figures[way]
            decibels = [figure.psnr for figure in figures]
            distances = [figure.perceptual for figure in figures if figure.perceptual is not None]
            looks = f"{statistics.mean(distances):.4f}" if distances else "-"
            out(
                f"{outcome.name if way == 'W' else '':24}{way:10}{min(decibels):10.2f}"
                f"{statistics.median(decibels):9.2f}{statistics.mean(decibels):9.2f}"
                f"{statistics.mean(figure.ssim for figure in figures):9.3f}{looks:>10}"
                f"{sum(value >= 30 for value in decibels):7} of {len(decibels)}"
            )
        out(f"{'':24}images of 16 other seeds before and after tuning: {outcome.others:.1f} dB (median)")
        out(f"{'':24}{outcome.seconds:.0f} s")


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw eight targets of each set and their projections."""
    tiles: list[Tensor | None] = []
    rows: list[str] = []
    for outcome in outcomes:
        shown = slice(0, 8)
        tiles += [target.picture for target in outcome.targets[shown]]
        rows.append(outcome.name)
        for way in WAYS:
            tiles += list(outcome.pictures[way][shown])
            rows.append(way)
    save_png(path, draw_labelled_grid(tiles, len(tiles) // len(rows), GridLabels(rows=rows)))


def main() -> None:
    """Measure, print, and optionally write JSON and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--tune-steps", type=int, default=350)
    parser.add_argument("--count", type=int, default=16, help="images of each kind")
    parser.add_argument("--real", default=EMOJI, metavar="SOURCE", help="a folder or zip of pictures")
    parser.add_argument("--only", choices=("generated", "real"), help="one of the two kinds")
    parser.add_argument("--loss", default=None, help="as for swincli project")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    runtime.configure()
    console = Console(quiet=True)
    model = load_model(find_checkpoint(options.checkpoint), runtime.choose_device(options.device))
    section, perception = model.recipe.model, choose_perception(options.loss, model, console)
    objective = Objective(perception, section.pixel_mean, section.pixel_std)
    out(
        f"{model.path.name} ({section.size} px, {model.images_seen:,} images), loss "
        f"{perception.name if perception else 'none'}, {options.steps} steps, {options.tune_steps} of tuning, "
        f"{model.device.type}, {platform.machine()}, {torch.get_num_threads()} threads"
    )
    samples = draw_start_points(model, InversionSettings().samples)
    sets: dict[str, list[Target]] = {}
    if options.only != "real":
        sets["generated"] = generated(model, options.count)
    if options.only != "generated":
        sets["real"] = real(model, options.real, options.count)
    outcomes = []
    for name, targets in sets.items():
        outcomes.append(project(name, model, objective, samples, targets, options.steps, options.tune_steps))
        tell(outcomes[-1:])
    if options.sheet:
        draw(outcomes, options.sheet)
    if options.json:
        kept = {
            outcome.name: {
                "sources": [target.source for target in outcome.targets],
                "others": outcome.others,
                "seconds": outcome.seconds,
                **{way: [asdict(figures) for figures in outcome.figures[way]] for way in WAYS},
            }
            for outcome in outcomes
        }
        about = {"checkpoint": model.path.name, "images_seen": model.images_seen, "steps": options.steps}
        options.json.write_text(json.dumps(about | {"tune_steps": options.tune_steps, "sets": kept}, indent=1) + "\n")


if __name__ == "__main__":
    main()
