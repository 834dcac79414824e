"""`remake_model`: another generator from a trained one: pruned, or with other mixers; distilled, measured and saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch

from swincli.commands.convert.request import ConvertRequest
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.diagnosis.cost import count_multiply_adds
from swincli.metrics.evaluate import evaluate
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import choose_detector
from swincli.metrics.streams.images import ImageSet, fake_seeds, model_record, open_images, stream_batches
from swincli.model.files.ancestry import Step, to_notes, with_parent
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe.schema import ModelSection
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.synthesis.sampling import generate
from swincli.training.pruning.distillation import distil
from swincli.training.pruning.mixer_exchange import exchange, exchanged_section, parse_exchange
from swincli.training.pruning.smaller_model import (
    LATENTS,
    check_prunable,
    measure_parts,
    prune,
    pruned_keys,
    smaller_section,
)

METRICS = ("fid", "pr")
SHOWN = ("fid", "recall")
RECENT = 0.1
"""Share of the steps, at the start and at the end, whose mean loss is reported."""


@dataclass(frozen=True)
class Change:
    """What becomes of a model.

    Attributes:
        section: The [model] section of the result.
        words: What it is then, such as "pruned".
        step: The same, for the note on its ancestors.
        facts: The change for `--json`.
        make: The result before distillation, from the model.
    """

    section: ModelSection
    words: str
    step: Step
    facts: dict[str, Any]
    make: Callable[[Model, Console], Model]


def _pruning(model: Model, share: float) -> Change:
    """Remove a share of the hidden units of the MLPs and of the heads."""
    kept = check_prunable(model.recipe.model, model.path, share)

    def make(model: Model, console: Console) -> Model:
        with console.progress("Measuring units and heads", LATENTS) as advance:
            return prune(model, kept, measure_parts(model, LATENTS, advance))

    facts = pruned_keys(model.recipe.model, kept)
    return Change(smaller_section(model.recipe.model, kept), "pruned", "prune", facts, make)


def _exchange(model: Model, text: str) -> Change:
    """Exchange the mixers of some resolutions."""
    section = exchanged_section(model.recipe, parse_exchange(text), model.path)
    return Change(section, "changed", "mixers", {"mixer": section.mixer}, lambda model, _: exchange(model, section))


def remake_model(request: ConvertRequest, device: torch.device, console: Console) -> Result:
    """Prune the model of a request or exchange its mixers, distil the result, and measure both.

    Raises:
        UsageError: the model cannot be changed so.
        SwincliError: the model or the real images cannot be opened, or the file cannot be written.
    """
    model = load_model(find_checkpoint(request.source), device)
    change = _exchange(model, request.mixers) if request.mixers is not None else _pruning(model, request.prune or 0.0)
    detector = load_detector(choose_detector(request.detector or "inception", None, None, None, console), device)
    section = model.recipe.model
    costs = [_multiply_adds(each) for each in (section, change.section)]
    console.say(
        f"{model.path}: {costs[0] / 1e9:.2f} G multiply-adds an image, {costs[1] / 1e9:.2f} G when {change.words} "
        f"({costs[1] / costs[0]:.0%})"
    )
    assert request.data is not None
    with open_images(request.data) as images:
        before = _measure(model, images, detector, request.num_count, console)
        console.say(f"before: {_text(before)}")
        student = replace(change.make(model, console), path=request.dest)
        with console.progress("Distilling", request.distil_count) as advance:
            losses = distil(student, model, request.distil_count, advance)
        about = student.recipe, student.images_seen, student.classes, student.attributes
        ancestors = with_parent(model.ancestors, model.path, change.step, model.images_seen)
        save_model(request.dest, student.generator, *about, ancestors)
        after = _measure(student, images, detector, request.num_count, console)
    few = max(1, round(RECENT * len(losses)))
    moved = f"; loss {fmean(losses[:few]):.3f} to {fmean(losses[-few:]):.3f}" if losses else ""
    console.say(f"after: {_text(after)}{moved}")
    facts = {
        "path": str(request.dest),
        "images_seen": model.images_seen,
        "parts": ["g_ema"],
        "ancestors": to_notes(ancestors),
        **change.facts,
        "multiply_adds": dict(zip(("before", "after"), costs, strict=True)),
        "metrics": {"before": before, "after": after},
    }
    return Result(facts, [str(request.dest)])


def _multiply_adds(section: ModelSection) -> int:
    """Multiply-adds of G for one image, counted on the meta device."""
    with meta_init():
        generator = Generator(section)
    return count_multiply_adds(generator, torch.empty(1, section.latent_dim, device="meta"), section)


def _measure(model: Model, images: ImageSet, detector: Detector, num: int, console: Console) -> dict[str, float]:
    """FID, precision and recall of a model's first images."""
    seeds = fake_seeds(num, 0)
    drawn = generate(model, seeds, labels=labels_as_trained(model, seeds))
    fakes = stream_batches(drawn, model_record(model, seeds, 1.0))
    return evaluate(fakes, images, METRICS, detector, console=console, model=model).values


def _text(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.4g}" for name in SHOWN)
