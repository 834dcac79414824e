"""The training loop: one function that reads from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from swincli.console import Console
from swincli.data import augment
from swincli.data.loading import training_indices
from swincli.data.store import Store
from swincli.errors import TrainingError, UsageError
from swincli.model.pixels import to_network
from swincli.recipe import Recipe
from swincli.training.ema import update_ema
from swincli.training.initialise import initialise
from swincli.training.labels import batch_labels, training_classes
from swincli.training.losses import Batch
from swincli.training.measuring import start_measuring
from swincli.training.phases import Phase, make_phases
from swincli.training.pictures import save_reals, save_samples
from swincli.training.preflight import check_data, check_disk, rehearse
from swincli.training.randomness import derive
from swincli.training.report import Report, announcement, crossed
from swincli.training.run_folder import RunFolder, check_same_run
from swincli.training.schedules import ema_decay, lr_scale
from swincli.training.state import TrainingState, build_state, restore
from swincli.training.stopping import stop_on_signals
from swincli.units import format_duration


@dataclass(frozen=True)
class TrainResult:
    """Where a session of training ended."""

    run: Path
    images_seen: int
    model: Path
    finished: bool


def train(
    recipe: Recipe, store: Store, out: Path, device: torch.device, console: Console, *, resume: bool
) -> TrainResult:
    """Train until `train.total` images, or go on with what lies in `out`.

    Args:
        recipe: The experiment.
        store: Training images of the recipe's size.
        out: Run folder.
        device: Where the networks live.
        console: Where the run reports.
        resume: Go on with a run that is there; without it, one that is there is an error.

    Raises:
        SwincliError: data, disk, an existing run, or numbers that are no longer finite.
    """
    check_data(recipe, store)
    folder = RunFolder(out)
    state = open_run(folder, recipe, store, device, console, resume=resume)
    phases = make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe)
    report = Report(console, folder, device)
    measuring = start_measuring(folder, state, store, console)
    for line in announcement(state, len(store), device):
        console.say(line)
    if state.images_seen == 0 or not folder.states():
        check_disk(folder, state)
        rehearse(folder, state, lambda: [phase.run(next_batch(state, store, device)) for phase in phases])
        save_reals(folder, recipe, store)
    if not folder.samples(state.images_seen).exists():
        save_samples(folder, state)
    model = folder.model(state.images_seen)
    total, batch = recipe.train.total, recipe.train.batch
    with stop_on_signals(console) as stop, report.following(state):
        while state.images_seen < total:
            started = time.monotonic()
            scalars = run_step(state, phases, next_batch(state, store, device))
            check_finite(scalars, state, folder)
            report.step(state, scalars, time.monotonic() - started)
            done = state.images_seen >= total or stop.reason is not None
            if done or crossed(state.images_seen, batch, recipe.run.samples):
                save_samples(folder, state)
            if done or crossed(state.images_seen, batch, recipe.run.snapshot):
                model = folder.save(state)
            if measuring and crossed(state.images_seen, batch, recipe.evaluate.every):
                report.last_metric = measuring.measure(state)
            if done:
                break
    finished = state.images_seen >= total
    if not finished:
        console.say(f"stopped at {state.images_seen:,} of {total:,} images; run the same command to go on")
    elif state.seconds:
        console.say(f"trained on {state.images_seen:,} images in {format_duration(state.seconds)}")
    return TrainResult(out, state.images_seen, model, finished)


def open_run(
    folder: RunFolder, recipe: Recipe, store: Store, device: torch.device, console: Console, *, resume: bool
) -> TrainingState:
    """The state to train from: the newest good one of the run, or a new one.

    Raises:
        UsageError: there is a run, and it is not to be continued.
        RecipeError: the run there is another experiment.
    """
    found = folder.newest_state(console)
    if found and not resume:
        raise UsageError(f"{folder.path}: holds a run already (--resume never)", "Give another --out.")
    state = build_state(recipe, store.content_hash, device)
    state.classes = training_classes(recipe.model.classes, store)
    if found:
        path, content = found
        check_same_run(content, path, recipe, store.content_hash, console)
        restore(state, content)
        console.say(f"going on from {path}")
    elif recipe.train.init is not None:
        initialise(state, recipe.train.init, console)
    folder.prepare(recipe)
    folder.truncate_logs(state.images_seen)
    return state


def next_batch(state: TrainingState, store: Store, device: torch.device) -> Batch:
    """What the next step works on: a function of the seed and the images seen, and of nothing else."""
    train, seen = state.recipe.train, state.images_seen
    model = state.recipe.model
    indices = training_indices(len(store), train.seed, seen, train.batch)
    reals = to_network(torch.from_numpy(store.fetch(indices)).to(device), model.pixel_mean, model.pixel_std)
    if state.recipe.augment.flip:
        reals = augment.flip(reals, derive(train.seed, "flip", seen))
    latents = torch.randn(2, train.batch, model.latent_dim, generator=derive(train.seed, "latents", seen)).to(device)
    labels = batch_labels(store, indices, train.seed, seen).to(device) if model.classes else [None] * 3
    return Batch(reals, latents[0], latents[1], derive(train.seed, "augment", seen), seen, *labels)


def run_step(state: TrainingState, phases: list[Phase], batch: Batch) -> dict[str, float]:
    """One step of everything: the rates, every phase that is due, the average; returns what to report."""
    train, number = state.recipe.train, state.images_seen // state.recipe.train.batch
    scale = lr_scale(state.images_seen, train)
    for optimizer in (state.g_optimizer, state.d_optimizer):
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * scale
    scalars: dict[str, Tensor] = {}
    for phase in phases:
        if number % phase.interval == 0:
            scalars |= phase.run(batch)
    state.images_seen += train.batch
    update_ema(state.average, state.generator, ema_decay(state.images_seen, train.batch, state.recipe.ema))
    values = torch.stack([value.detach().float() for value in scalars.values()]).tolist()
    return dict(zip(scalars, values, strict=True))


def check_finite(scalars: dict[str, float], state: TrainingState, folder: RunFolder) -> None:
    """Stop at the first loss or gradient that is no number; the state on the disk is from before it.

    Raises:
        TrainingError: there is one.
    """
    broken = [name for name, value in scalars.items() if not math.isfinite(value)]
    if broken:
        states = folder.states()
        raise TrainingError(
            f"{', '.join(broken)} not finite after {state.images_seen:,} images",
            f"The last good state is {states[0] if states else 'none'}. Lower train.d_lr and train.g_lr, or raise "
            "loss.r1_gamma, in a new run.",
        )
