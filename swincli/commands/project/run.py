"""What `swincli project` does once its options are read: codes for pictures, their files, and the tuned generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from swincli.commands.open_model import open_model
from swincli.commands.project.perception import choose_perception
from swincli.console import Console
from swincli.errors import DataError, UsageError
from swincli.metrics.networks.stlpips import WEIGHTS, PerceptualDistance, load_perceptual
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.model.files.tuned import apply_tuned, read_tuned_note, save_deltas
from swincli.projection.inversion import InversionSettings, Space, default_inversion_batch, draw_start_points, invert
from swincli.projection.losses import Objective
from swincli.projection.optimise import StepCallback
from swincli.projection.output_files import (
    HASH_DIGITS,
    RECORDS,
    ProjectionFiles,
    Similarity,
    measure_similarity,
    projection_files,
    save_projection,
    save_records,
    save_tuned,
    tuned_files,
    video_frame,
)
from swincli.projection.targets import Crop, Target, read_targets
from swincli.projection.tuning import TuningSettings, tune
from swincli.synthesis.latents.files import read_latents
from swincli.synthesis.output.provenance import missing, read_picture
from swincli.synthesis.output.video import check_video, writing_video
from swincli.synthesis.sampling import render

TUNED = "tuned.safetensors"
FPS, MOST_FRAMES = 30.0, 300  # ten seconds, however many steps there are


@dataclass(frozen=True)
class Request:
    """The options of `swincli project`."""

    images: list[str]
    checkpoint: str | None
    space: Space
    steps: int
    out: Path
    tune: bool
    tune_steps: int
    video: bool
    loss: str | None
    crop: Crop
    batch: int | None
    seed: int
    force: bool


@dataclass(frozen=True)
class Work:
    """All that a call works with; targets and files are in the same order."""

    request: Request
    model: Model
    identity: str
    objective: Objective
    targets: list[Target]
    files: list[ProjectionFiles]
    settings: str
    batch: int
    console: Console


def project(request: Request, device: torch.device, console: Console) -> None:
    """Project pictures, and tell where the files are. What is there already, made in the same way, is left as it is.

    Raises:
        SwincliError: something cannot be opened or written, or files made in another way are in the way.
    """
    work = _prepare(request, device, console)
    due = _find_due(work)
    console.say(f"{work.model.path}, trained on {work.model.images_seen:,} images; {work.settings}")
    if there := len(work.targets) - len(due):
        console.say(f"{there} of {len(work.targets)} pictures are projected already")
    if due:
        _invert_all(work, due)
    tuned = _tune(work) if request.tune else None
    _tell(work, tuned)


def _prepare(request: Request, device: torch.device, console: Console) -> Work:
    model = open_model(request.checkpoint, device)
    section, identity = model.recipe.model, model_identity(model.path)
    targets = read_targets(request.images, section.size, request.crop, console.warn)
    perception = choose_perception(request.loss, model, console)
    objective = Objective(perception, section.pixel_mean, section.pixel_std)
    settings = (
        f"checkpoint={model.path.name} model={identity} space={request.space} steps={request.steps} "
        f"loss={perception.name if perception else 'none'} seed={request.seed}"
    )
    files = [projection_files(request.out, target, f"project {settings}") for target in targets]
    _check_places(targets, files)
    batch = request.batch or default_inversion_batch(section.size)
    return Work(request, model, identity, objective, targets, files, settings, batch, console)


def _check_places(targets: Sequence[Target], files: Sequence[ProjectionFiles]) -> None:
    """See that no picture would be replaced by its own projection.

    Raises:
        UsageError: one would.
    """
    for target, its in zip(targets, files, strict=True):
        if its.image.path.resolve() == Path(target.source).resolve():
            raise UsageError(f"{target.source}: its projection would be written over it", "Choose another --out.")


def _find_due(work: Work) -> list[int]:
    """Which pictures have files that are not there yet; with --force all of them.

    Raises:
        DataError: without --force, a file is in the way that was made in another way.
    """
    outputs = [output for files in work.files for output in files.outputs]
    absent = {index // len(work.files[0].outputs) for index in missing(outputs, force=work.request.force)}
    if work.request.video:
        absent |= {index for index, files in enumerate(work.files) if not files.video.exists()}
        for index in absent:
            height, width, _ = video_frame(work.targets[index], work.targets[index].picture).shape
            check_video(work.files[index].video, FPS, width, height, force=work.request.force)
    return sorted(absent)


def _invert_all(work: Work, due: Sequence[int]) -> None:
    request, console = work.request, work.console
    plan = InversionSettings(space=request.space, steps=request.steps, seed=request.seed)
    samples = draw_start_points(work.model, plan.samples)
    parts = [due[start : start + work.batch] for start in range(0, len(due), work.batch)]
    with _watching(console, "Projecting", plan.steps * len(parts)) as watch:
        for part in parts:
            targets, files = [work.targets[index] for index in part], [work.files[index] for index in part]
            with ExitStack() as stack:
                frames = _Frames(work, targets, files, stack) if request.video else None
                codes = invert(work.model, work.objective, targets, samples, plan, _both(watch, frames))
                w_plus = codes if codes.ndim == 3 else work.model.generator.broadcast(codes)
                pictures = render(work.model, w_plus)
                for target, its, code, picture in zip(targets, files, codes, pictures, strict=True):
                    save_projection(its, target, code, picture, work.identity)
                    if frames is None:
                        its.video.unlink(missing_ok=True)  # of an earlier projection of the picture


@contextmanager
def _watching(console: Console, description: str, total: int) -> Iterator[StepCallback]:
    """Progress by steps, with the mean loss of the latest."""
    latest = [0.0]
    with console.progress(description, total, "steps", lambda: f"loss {latest[0]:.4f}") as advance:

        def watch(step: int, codes: Tensor, losses: Tensor) -> None:  # noqa: ARG001
            latest[0] = losses.mean().item()
            advance()

        yield watch


class _Frames:
    """The videos of a batch, frame by frame, open as long as `stack` is."""

    def __init__(
        self, work: Work, targets: Sequence[Target], files: Sequence[ProjectionFiles], stack: ExitStack
    ) -> None:
        self.work, self.targets, self.shown = work, targets, -1
        self.writers = [stack.enter_context(writing_video(its.video, FPS)) for its in files]

    def __call__(self, step: int, codes: Tensor, losses: Tensor) -> None:  # noqa: ARG002
        """Write a frame if one is due."""
        steps = self.work.request.steps
        number = (step - 1) * min(MOST_FRAMES, steps) // steps
        if number == self.shown:
            return
        self.shown = number
        for write, target, picture in zip(self.writers, self.targets, render(self.work.model, codes), strict=True):
            write(video_frame(target, picture))


def _both(watch: StepCallback, frames: StepCallback | None) -> StepCallback:
    def told(step: int, codes: Tensor, losses: Tensor) -> None:
        watch(step, codes, losses)
        if frames is not None:
            frames(step, codes, losses)

    return told


@dataclass(frozen=True)
class Tuned:
    """The file of a tuned generator, and the images that it makes of the codes, uint8 `[size, size, 3]`."""

    path: Path
    pictures: list[Tensor]


def _tune(work: Work) -> Tuned:
    """Tune the generator to all pictures of the call at once, or find that this has been done.

    Raises:
        DataError: without --force, a file is in the way that was made in another way.
    """
    request, model, path = work.request, work.model, work.request.out / TUNED
    codes = torch.cat([_code_of(work, files) for files in work.files])
    whole = " ".join(target.digest[:HASH_DIGITS] for target in work.targets)
    note = f"project {work.settings} tune-steps={request.tune_steps} pictures={whole}"
    outputs = [tuned_files(request.out, target, note) for target in work.targets]
    due = missing([output for pair in outputs for output in pair], force=request.force)
    found = read_tuned_note(path)
    if path.exists() and found != note and not request.force:
        hint = "Overwrite with --force, or choose another place."
        raise DataError(f"{path}: exists, and was made with other settings or of other pictures", hint)
    if found != note or request.force:
        plan = TuningSettings(steps=request.tune_steps, seed=request.seed)
        steps = plan.steps * -(-len(work.targets) // work.batch)
        with _watching(work.console, "Tuning", steps) as watch:
            changes = tune(model, work.objective, work.targets, codes, plan, work.batch, watch)
        save_deltas(path, model, changes, note)
        due = list(range(2 * len(work.targets)))
    bent = apply_tuned(model, path)
    pictures = [picture for part in codes.split(work.batch) for picture in render(bent, part)]
    for index in sorted({number // 2 for number in due}):
        before = read_picture(work.files[index].image.path)
        save_tuned(*outputs[index], work.targets[index], before, pictures[index])
    return Tuned(path, pictures)


def _code_of(work: Work, files: ProjectionFiles) -> Tensor:
    """The w+ that was found for a picture, `[1, L, latent_dim]`."""
    values = read_latents(files.latents.path, work.model.recipe.model).values.to(work.model.device)
    return values if values.ndim == 3 else work.model.generator.broadcast(values)


def _tell(work: Work, tuned: Tuned | None) -> None:
    """Measure, record, and show."""
    device = work.model.device
    found = WEIGHTS.find()
    distance = None if found is None else load_perceptual(found, device)
    results = [_result(work, index, tuned, distance) for index in range(len(work.targets))]
    records = work.request.out / RECORDS
    save_records(records, results)
    work.console.show(_table(work, results))
    data = {"results": results, "tuned": str(tuned.path) if tuned else None, "records": str(records)}
    lines = [str(entry[kind]) for entry in results for kind in ("latents", "image", "pair")]
    work.console.emit(data, [*lines, *([str(tuned.path)] if tuned else [])])


def _result(work: Work, index: int, tuned: Tuned | None, distance: PerceptualDistance | None) -> dict[str, Any]:
    target, files = work.targets[index], work.files[index]
    device = work.model.device
    result: dict[str, Any] = {
        "source": target.source,
        "latents": str(files.latents.path),
        "image": str(files.image.path),
        "pair": str(files.pair.path),
        "video": str(files.video) if work.request.video else None,
        **_as_dict(measure_similarity(target, read_picture(files.image.path), distance, device)),
        "settings": work.settings,
        "tuned": None,
    }
    if tuned is not None:
        image, pair = tuned_files(work.request.out, target, "")
        figures = measure_similarity(target, tuned.pictures[index], distance, device)
        result["tuned"] = {"image": str(image.path), "pair": str(pair.path), **_as_dict(figures)}
    return result


def _as_dict(figures: Similarity) -> dict[str, float | None]:
    return {"psnr": figures.psnr, "ssim": figures.ssim, "perceptual": figures.perceptual}


def _table(work: Work, results: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=f"Projected into {work.request.space}", title_justify="left")
    table.add_column("picture", overflow="fold")
    for name in ("PSNR, dB", "SSIM", "stlpips"):
        table.add_column(name, justify="right")
    for entry in results:
        table.add_row(Path(entry["source"]).name, *_cells(entry))
        if entry["tuned"] is not None:
            table.add_row("  tuned", *_cells(entry["tuned"]))
    return table


def _cells(entry: dict[str, Any]) -> list[str]:
    perceptual = entry["perceptual"]
    return [f"{entry['psnr']:.2f}", f"{entry['ssim']:.3f}", "-" if perceptual is None else f"{perceptual:.4f}"]
