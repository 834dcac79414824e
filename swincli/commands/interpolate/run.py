"""`run`: computes the walk of `swincli interpolate`, measures its perceived steps if asked to, and writes the video."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from swincli.commands.interpolate.request import DEFAULT_OUT, InterpolateRequest
from swincli.commands.model_options import listed_texts, open_model, open_texts, read_truncation
from swincli.commands.options import parsed
from swincli.commands.typer_command import Result
from swincli.console import Advance, Console
from swincli.errors import UsageError
from swincli.metrics.networks import stlpips
from swincli.metrics.networks.perceptual_input import to_perceptual_input
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.edits import EXAMPLE, open_edits, parse_edit
from swincli.synthesis.latents.layer_ranges import CODES_OF_A_LEVEL, parse_code_layers
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.output.video import check_video
from swincli.synthesis.sample_set import describe_seeds
from swincli.synthesis.sampling import reuse_batch, sampling_batch
from swincli.synthesis.walk.key_frames import KeyFrames, edit_key_frames, find_key_frames
from swincli.synthesis.walk.perceptual_pace import (
    MEASURING_PASSES,
    StepLengths,
    even_times,
    measuring_times,
    unevenness,
)
from swincli.synthesis.walk.timing import frame_times, parse_frames
from swincli.synthesis.walk.walk_video import write_walk
from swincli.synthesis.walk.walks import FixedLayers, Walk, images_along, make_walk
from swincli.system.overwrite import numbered
from swincli.units import LARGEST_SEED

PERCEPTUAL_MEMORY = 4  # the perceptual network needs 4 times the memory of the generator per image


@dataclass(frozen=True, eq=False)
class VideoPlan:
    """The walks of a video, side by side.

    Attributes:
        model: The generator.
        walks: One per grid cell.
        segments: Pairs of neighbouring key frames per walk.
        frames: Video frames of each segment.
        batch: Images per batch.
    """

    model: Model
    walks: list[Walk]
    segments: int
    frames: list[int]
    batch: int


def run(request: InterpolateRequest, device: torch.device, console: Console, *, model: Model | None = None) -> Result:
    """Write the video of a walk.

    Args:
        request: Checked options.
        device: Where the model goes.
        console: Receives messages and progress.
        model: A loaded model, used instead of `request.checkpoint`.

    Raises:
        UsageError: an option does not fit the model.
        DataError: latents are damaged or belong to another model, or the video exists already.
        ResourceError: the encoder or the perceptual network is missing, or the video cannot be written.
    """
    model = open_model(request.checkpoint, device, request.tuned, model)
    columns, rows = request.grid_size
    size = model.recipe.model.size * request.enlarge
    out = _choose_file(request, console)
    check_video(out, request.fps, size * columns, size * rows, force=request.force)
    plan = make_plan(request, model, console)
    console.say(f"{model.path}, trained on {model.images_seen:,} images")
    pace = None
    if request.pace == "perceptual":
        pace = _write_at_perceptual_pace(request, plan, out, console)
    else:
        times = frame_times(plan.frames, closed=request.loop, easing=request.easing)
        _write(request, plan, out, times, None, console)
    facts = {
        "path": str(out),
        "frames": sum(plan.frames),
        "fps": request.fps,
        "walks": len(plan.walks),
        "segments": plan.segments,
        "pace": pace,
    }
    return Result(facts, [str(out)])


def _choose_file(request: InterpolateRequest, console: Console) -> Path:
    """The file of `--out`, or the next free one."""
    if request.out is not None:
        return request.out
    if request.force:
        return DEFAULT_OUT
    out = next(path for path in numbered(DEFAULT_OUT) if not os.path.lexists(path))
    if out != DEFAULT_OUT:
        console.say(f"{DEFAULT_OUT} exists; writing {out}")
    return out


def make_plan(request: InterpolateRequest, model: Model, console: Console) -> VideoPlan:
    """Read key frames, layers and frame counts, and construct the walks.

    Raises:
        UsageError: an option does not fit the model, or the key frames do not fit the grid.
        DataError: latents are damaged or belong to another model.
    """
    texts = open_texts(model, listed_texts(request.texts, request.text_file), console)
    truncation = read_truncation(
        model, request.truncation, request.truncation_layers, request.truncation_centres, request.guidance
    )
    files = request.latents or []
    keys = find_key_frames(model, request.seed_list, request.wanted, files, request.space, truncation, texts)
    lists = [parsed("--edit", text, parse_edit, EXAMPLE) for text in request.edit or []]
    edits = open_edits(model, lists) if lists else None
    if edits is not None:
        keys = edit_key_frames(keys, edits)
    shares = _divide(keys, request.grid_size)
    segments = len(shares[0]) if request.loop else len(shares[0]) - 1
    frames = parsed("--frames", request.frames, lambda text: parse_frames(text, segments), "For example --frames 60")
    mixed = _read_mixed(request, model, truncation)
    if edits is not None:
        model = edits.editor.model
        mixed = [replace(one, codes=edits.editor.move(one.codes, 0 * edits.steps[0])) for one in mixed]
    walks = [
        make_walk(model, share, truncation, curve=request.curve, closed=request.loop, fixed=mixed) for share in shares
    ]
    fixed = {layer for one in mixed for layer in one.layers}
    usual = reuse_batch if fixed.issuperset(range(CODES_OF_A_LEVEL)) else sampling_batch
    batch = request.batch or usual(model.recipe.model, model.device)
    if request.batch is None and request.pace == "perceptual":
        batch = max(1, batch // PERCEPTUAL_MEMORY)
    return VideoPlan(model, walks, segments, frames, batch)


def _divide(keys: KeyFrames, grid: tuple[int, int]) -> list[KeyFrames]:
    """The key frames of each walk: equally many, in order.

    Raises:
        UsageError: they cannot be divided equally, or a walk has fewer than two.
    """
    walks = grid[0] * grid[1]
    if len(keys) % walks:
        raise UsageError(
            f"--grid {grid[0]}x{grid[1]}: {len(keys)} key frames cannot be divided evenly among {walks} walks",
            f"Give {(len(keys) // walks + 1) * walks} key frames, or another grid.",
        )
    if len(keys) < 2 * walks:
        needed = "a walk needs" if walks == 1 else f"each of {walks} walks needs"
        raise UsageError(
            f"--seeds, --latents: {needed} at least two key frames, but there {_are(len(keys))}",
            "For example --seeds 1,5,9",
        )
    return keys.split(walks)


def _are(count: int) -> str:
    return "is one" if count == 1 else f"are {count}"


def _read_mixed(request: InterpolateRequest, model: Model, truncation: Truncation) -> list[FixedLayers]:
    """The layers that `--mix` keeps fixed, with their codes.

    Raises:
        UsageError: an entry cannot be read, the model has no such layers, or a layer is named twice.
    """
    found: list[FixedLayers] = []
    hint = "For example --mix 7@coarse"
    for text in request.mix or []:
        seed, layers = parsed("--mix", text, lambda entry: _parse_fixed(entry, model.recipe.model.num_ws), hint)
        twice = sorted({layer for one in found for layer in one.layers} & set(layers))
        if twice:
            raise UsageError(f"--mix {text}: layer {twice[0]} is already fixed", "Name every layer once.")
        named = describe_seeds(model, [seed], request.wanted)
        labels = None if named.labels is None else named.labels[:1]
        found.append(FixedLayers(layers, codes_of_seeds(model, named.seeds[:1], truncation, labels)))
    return found


def _parse_fixed(text: str, num_ws: int) -> tuple[int, list[int]]:
    """Read "7@coarse": a seed, and the layers that keep its codes.

    Raises:
        ValueError: not a seed and layers, or the model has no such layer.
    """
    match = re.fullmatch(r"\s*(\d{1,10})\s*@(.+)", text)
    if match is None or int(match[1]) > LARGEST_SEED:
        raise ValueError("must be a seed and its layers")
    return int(match[1]), parse_code_layers(match[2], num_ws)


def _write_at_perceptual_pace(
    request: InterpolateRequest, plan: VideoPlan, out: Path, console: Console
) -> dict[str, float]:
    """Measure the perceived lengths along the walk, write it with equal steps, and return how even the steps are."""
    strides = _make_strides(plan)
    frames, places = sum(plan.frames), measuring_times(plan.segments, sum(plan.frames))
    looks = []
    with console.progress("Measuring", MEASURING_PASSES * len(places), "places") as advance:
        for _ in range(MEASURING_PASSES):
            looks.append((places, _measure(plan, places, strides(), advance)))
            places = even_times(*looks[-1], len(places), closed=False)
    written = strides()
    _write(request, plan, out, even_times(*looks[-1], frames, closed=request.loop), written, console)
    pace = {
        "places": MEASURING_PASSES * len(places),
        "unevenness_before": unevenness(_by_frame(looks[0][1], frames)),
        "unevenness_after": unevenness(written.lengths),
    }
    console.say(
        f"Largest perceived step: {pace['unevenness_after']:.2f} times the median "
        f"({pace['unevenness_before']:.2f} times at equal steps in latent space)"
    )
    return pace


def _make_strides(plan: VideoPlan) -> Callable[[], StepLengths]:
    """A factory of meters for the perceived lengths of a walk.

    Raises:
        ResourceError: the weights of the perceptual network are missing.
    """
    network = stlpips.load_perceptual(stlpips.WEIGHTS.require(), plan.model.device)

    @torch.inference_mode()
    def features(images: Tensor) -> list[Tensor]:
        return network.features(to_perceptual_input(plan.model, images))

    return lambda: StepLengths(len(plan.walks), features, torch.inference_mode()(network.between))


def _measure(plan: VideoPlan, places: Tensor, strides: StepLengths, advance: Advance) -> list[float]:
    """Perceived lengths between neighbouring times of `places`."""
    for images in images_along(plan.model, plan.walks, places, plan.batch):
        strides.add(images)
        advance(len(images) // len(plan.walks))
    return strides.lengths


def _by_frame(lengths: list[float], frames: int) -> list[float]:
    """Sum the lengths of equally many neighbouring steps, so that `frames` steps remain."""
    density = len(lengths) // frames
    return [sum(lengths[start : start + density]) for start in range(0, len(lengths), density)]


def _write(
    request: InterpolateRequest,
    plan: VideoPlan,
    out: Path,
    times: Tensor,
    strides: StepLengths | None,
    console: Console,
) -> None:
    """Write the frames at `times`, float64 `[N]`; `strides` measures their perceived steps."""
    with console.progress("Walking", len(times), "frames") as advance:
        write_walk(
            plan.model,
            plan.walks,
            times,
            out,
            batch=plan.batch,
            fps=request.fps,
            quality=request.quality,
            grid=request.grid_size,
            enlarge=request.enlarge,
            advance=advance,
            look=None if strides is None else strides.add,
        )
