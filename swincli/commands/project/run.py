"""`run`: optimises codes for the pictures of `swincli project`, tunes the generator, writes and measures the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swincli.commands.model_options import open_model
from swincli.commands.perception import choose_perception
from swincli.commands.project.request import ProjectRequest
from swincli.commands.project.tables import figures_table
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.errors import UsageError
from swincli.metrics.networks.stlpips import WEIGHTS, PerceptualDistance, load_perceptual
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.model.files.tuned import apply_tuned, read_tuned_note, save_deltas
from swincli.projection.inversion import InversionSettings, default_inversion_batch, draw_start_points, invert
from swincli.projection.losses import Objective
from swincli.projection.optimise import StepCallback
from swincli.projection.output_files import (
    HASH_DIGITS,
    RECORDS,
    ProjectionFiles,
    Similarity,
    are_records,
    measure_similarity,
    projection_files,
    save_projection,
    save_records,
    save_tuned,
    tuned_files,
    video_frame,
)
from swincli.projection.targets import Target, read_targets
from swincli.projection.tuning import TuningSettings, tune
from swincli.synthesis.latents.files import read_latents
from swincli.synthesis.output.provenance import Output, missing, read_note, read_picture
from swincli.synthesis.output.video import check_video, writing_video
from swincli.synthesis.sampling import render
from swincli.system.overwrite import check_distinct, check_overwrite

TUNED = "tuned.safetensors"
NOTE_START = "project "  # of the notes of all files but the video
FPS, MOST_FRAMES = 30.0, 300  # at most ten seconds of video


@dataclass(frozen=True)
class Job:
    """Everything that one call needs; `targets` and `files` are in the same order.

    Attributes:
        request: The options.
        model: The generator.
        identity: 12 hexadecimal digits of the model file's hash.
        objective: The loss.
        targets: The pictures at the model's size.
        files: The output files of each picture.
        settings: All that determines the codes, as provenance notes have it.
        batch: Pictures per batch.
        console: Receives messages and progress.
    """

    request: ProjectRequest
    model: Model
    identity: str
    objective: Objective
    targets: list[Target]
    files: list[ProjectionFiles]
    settings: str
    batch: int
    console: Console


@dataclass(frozen=True)
class TunedImages:
    """The file of the tuned weights, and the tuned image of each picture, uint8 `[size, size, 3]`."""

    path: Path
    images: list[Tensor]


def run(request: ProjectRequest, device: torch.device, console: Console, *, model: Model | None = None) -> Result:
    """Project pictures and measure their images. Files that exist with the same note are kept.

    Args:
        request: Checked options.
        device: Where the model goes.
        console: Receives messages and progress.
        model: A loaded model, used instead of `request.checkpoint`.

    Raises:
        SwincliError: something cannot be opened or written, or a file with another note exists.
    """
    job = _open_job(request, open_model(request.checkpoint, device, model=model), console)
    tuning = _planned_tuning(job) if request.tune else None
    pending = _find_pending(job)
    console.say(f"{job.model.path}, trained on {job.model.images_seen:,} images; {job.settings}")
    if existing := len(job.targets) - len(pending):
        console.say(f"{existing} of {len(job.targets)} pictures are already projected")
    if pending:
        _invert_all(job, pending)
    tuned = _tune(job, tuning) if tuning else None
    results = _measure_all(job, tuned)
    records = request.out / RECORDS
    save_records(records, results)
    console.show(figures_table(request.space, results))
    facts = {"results": results, "tuned": str(tuned.path) if tuned else None, "records": str(records)}
    lines = [str(entry[kind]) for entry in results for kind in ("latents", "image", "pair")]
    return Result(facts, [*lines, *([str(tuned.path)] if tuned else [])])


def _open_job(request: ProjectRequest, model: Model, console: Console) -> Job:
    section, identity = model.recipe.model, model_identity(model.path)
    targets = read_targets(request.images, section.size, request.crop, console.warn)
    perception = choose_perception(request.loss, model, console)
    objective = Objective(perception, section.pixel_mean, section.pixel_std)
    settings = (
        f"checkpoint={model.path.name} model={identity} space={request.space} steps={request.steps} "
        f"loss={perception.name if perception else 'none'} seed={request.seed}"
    )
    files = [projection_files(request.out, target, f"{NOTE_START}{settings}") for target in targets]
    _check_output_folder(request, targets, files)
    batch = request.batch or default_inversion_batch(section.size)
    return Job(request, model, identity, objective, targets, files, settings, batch, console)


def _check_output_folder(request: ProjectRequest, targets: Sequence[Target], files: Sequence[ProjectionFiles]) -> None:
    """Check that no projection would overwrite its own picture, or a file of another one.

    Raises:
        UsageError: one would.
    """
    paths = [output.path for its in files for output in its.outputs]
    paths += [its.video for its in files] if request.video else []
    paths += [each.path for target in targets for each in tuned_files(request.out, target, "")] if request.tune else []
    check_distinct(paths, "Rename one of the pictures, or project them with different --out folders.")
    for target, its in zip(targets, files, strict=True):
        if its.image.path.resolve() == Path(target.source).resolve():
            raise UsageError(f"{target.source}: its projection would overwrite it", "Choose another --out.")


def _find_pending(job: Job) -> list[int]:
    """Indices of the pictures with missing files; all pictures with --force.

    Raises:
        DataError: without --force, a file with another note exists.
    """
    check_overwrite([job.request.out / RECORDS], force=job.request.force, is_own=are_records)
    outputs = [output for files in job.files for output in files.outputs]
    pending = {index // len(job.files[0].outputs) for index in missing(outputs, force=job.request.force)}
    if job.request.video:
        pending |= {index for index, files in enumerate(job.files) if not files.video.exists()}
        for index in pending:
            height, width, _ = video_frame(job.targets[index], job.targets[index].picture).shape
            check_video(job.files[index].video, FPS, width, height, force=job.request.force)
    return sorted(pending)


def _invert_all(job: Job, pending: Sequence[int]) -> None:
    """Optimise the codes of pictures batch by batch, and write their files."""
    request, console = job.request, job.console
    plan = InversionSettings(space=request.space, steps=request.steps, seed=request.seed)
    samples = draw_start_points(job.model, plan.samples)
    parts = [pending[start : start + job.batch] for start in range(0, len(pending), job.batch)]
    with _step_progress(console, "Projecting", plan.steps * len(parts)) as watch:
        for part in parts:
            targets, files = [job.targets[index] for index in part], [job.files[index] for index in part]
            with ExitStack() as stack:
                videos = _SearchVideos(job, targets, files, stack) if request.video else None
                codes = invert(job.model, job.objective, targets, samples, plan, _watch_both(watch, videos))
                w_plus = codes if codes.ndim == 3 else job.model.generator.broadcast(codes)
                images = render(job.model, w_plus)
                for target, its, code, image in zip(targets, files, codes, images, strict=True):
                    if request.force and not request.video:
                        _remove_old_video(its)
                    save_projection(its, target, code, image, job.identity)


def _remove_old_video(files: ProjectionFiles) -> None:
    """Remove the video of an earlier projection, which is about to be replaced; without one, the file is another's."""
    if (read_note(files.latents.path) or "").startswith(NOTE_START):
        files.video.unlink(missing_ok=True)


@contextmanager
def _step_progress(console: Console, description: str, total: int) -> Iterator[StepCallback]:
    """Progress in steps, with the mean loss of the latest step."""
    latest = [0.0]
    with console.progress(description, total, "steps", lambda: f"loss {latest[0]:.4f}") as advance:

        def watch(step: int, codes: Tensor, losses: Tensor) -> None:  # noqa: ARG001
            latest[0] = losses.mean().item()
            advance()

        yield watch


class _SearchVideos:
    """Writes one video of the optimisation per picture of a batch, until `stack` closes."""

    def __init__(self, job: Job, targets: Sequence[Target], files: Sequence[ProjectionFiles], stack: ExitStack) -> None:
        self.job, self.targets, self.last = job, targets, -1
        self.writers = [stack.enter_context(writing_video(its.video, FPS)) for its in files]

    def __call__(self, step: int, codes: Tensor, losses: Tensor) -> None:  # noqa: ARG002
        """Write a frame of each video, unless the frame of this step was already written."""
        steps = self.job.request.steps
        number = (step - 1) * min(MOST_FRAMES, steps) // steps
        if number == self.last:
            return
        self.last = number
        for write, target, image in zip(self.writers, self.targets, render(self.job.model, codes), strict=True):
            write(video_frame(target, image))


def _watch_both(watch: StepCallback, videos: StepCallback | None) -> StepCallback:
    def both(step: int, codes: Tensor, losses: Tensor) -> None:
        watch(step, codes, losses)
        if videos is not None:
            videos(step, codes, losses)

    return both


@dataclass(frozen=True)
class _Tuning:
    """What tuning writes: its note, both files of each picture, indices of the missing ones, whether weights exist."""

    note: str
    outputs: list[tuple[Output, Output]]
    pending: list[int]
    is_done: bool


def _planned_tuning(job: Job) -> _Tuning:
    """What tuning will write; it depends on all pictures.

    Raises:
        DataError: without --force, a file with another note exists.
    """
    request, path = job.request, job.request.out / TUNED
    digests = " ".join(target.digest[:HASH_DIGITS] for target in job.targets)
    note = f"project {job.settings} tune-steps={request.tune_steps} pictures={digests}"
    found = read_tuned_note(path)
    check_overwrite(
        [path],
        force=request.force,
        is_own=lambda _: found == note,
        reason="exists, and was made with other settings or from other pictures",
        hint="Choose another --out, or remove it and the *-tuned*.png; the codes stay. --force makes all anew.",
    )
    outputs = [tuned_files(request.out, target, note) for target in job.targets]
    pending = missing([output for pair in outputs for output in pair], force=request.force)
    return _Tuning(note, outputs, pending, is_done=found == note and not request.force)


def _tune(job: Job, planned: _Tuning) -> TunedImages:
    """Tune the generator to all pictures at once, unless the tuned weights exist already."""
    request, model, path = job.request, job.model, job.request.out / TUNED
    codes = torch.cat([_read_code(job, files) for files in job.files])
    pending = planned.pending
    if not planned.is_done:
        plan = TuningSettings(steps=request.tune_steps, seed=request.seed)
        steps = plan.steps * -(-len(job.targets) // job.batch)
        with _step_progress(job.console, "Tuning", steps) as watch:
            changes = tune(model, job.objective, job.targets, codes, plan, job.batch, watch)
        save_deltas(path, model, changes, planned.note)
        pending = list(range(2 * len(job.targets)))
    tuned = apply_tuned(model, path)
    images = [image for part in codes.split(job.batch) for image in render(tuned, part)]
    for index in sorted({number // 2 for number in pending}):
        before = read_picture(job.files[index].image.path)
        save_tuned(*planned.outputs[index], job.targets[index], before, images[index])
    return TunedImages(path, images)


def _read_code(job: Job, files: ProjectionFiles) -> Tensor:
    """The w+ in a picture's file, `[1, L, latent_dim]`."""
    values = read_latents(files.latents.path, job.model.recipe.model).values.to(job.model.device)
    return values if values.ndim == 3 else job.model.generator.broadcast(values)


def _measure_all(job: Job, tuned: TunedImages | None) -> list[dict[str, Any]]:
    """The JSON entry of every picture: its files, and how close its image is."""
    found = WEIGHTS.find()
    distance = None if found is None else load_perceptual(found, job.model.device)
    return [_measure(job, index, tuned, distance) for index in range(len(job.targets))]


def _measure(job: Job, index: int, tuned: TunedImages | None, distance: PerceptualDistance | None) -> dict[str, Any]:
    target, files = job.targets[index], job.files[index]
    device = job.model.device
    entry: dict[str, Any] = {
        "source": target.source,
        "latents": str(files.latents.path),
        "image": str(files.image.path),
        "pair": str(files.pair.path),
        "video": str(files.video) if job.request.video else None,
        **_as_dict(measure_similarity(target, read_picture(files.image.path), distance, device)),
        "settings": job.settings,
        "tuned": None,
    }
    if tuned is not None:
        image, pair = tuned_files(job.request.out, target, "")
        figures = measure_similarity(target, tuned.images[index], distance, device)
        entry["tuned"] = {"image": str(image.path), "pair": str(pair.path), **_as_dict(figures)}
    return entry


def _as_dict(figures: Similarity) -> dict[str, float | None]:
    return {"psnr": figures.psnr, "ssim": figures.ssim, "perceptual": figures.perceptual}
