"""What `swincli interpolate` does once its options are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.commands.interpolate.request import Pace, Request
from swincli.commands.open_model import open_model
from swincli.commands.truncation_options import read_truncation
from swincli.console import Advance, Console
from swincli.errors import UsageError
from swincli.metrics.networks import stlpips
from swincli.metrics.networks.perceptual_input import to_perceptual_input
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.layer_ranges import parse_code_layers
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.output.video import check_video, writing_video
from swincli.synthesis.sample_set import describe_seeds
from swincli.synthesis.sampling import default_sampling_batch
from swincli.synthesis.walk.key_frames import KeyFrames, find_key_frames
from swincli.synthesis.walk.perceptual_pace import (
    MEASURING_PASSES,
    StepLengths,
    even_times,
    measuring_times,
    unevenness,
)
from swincli.synthesis.walk.timing import frame_times, parse_frames
from swincli.synthesis.walk.walks import FixedLayers, Walk, frames_of, images_along, make_walk
from swincli.units import LARGEST_SEED

LOOKING_SHARE = 4  # the perceptual network takes so many times the memory of the generator's images


@dataclass(frozen=True, eq=False)
class Plan:
    """A video to be made: walks side by side, of so many segments, and the frames of each."""

    model: Model
    walks: list[Walk]
    segments: int
    frames: list[int]
    batch: int


def interpolate(request: Request, device: torch.device, console: Console) -> None:
    """Write the walk, and say where it is.

    Raises:
        UsageError: what is asked for does not fit the model.
        DataError: latents that are damaged or of another model, or something is in the way of the video.
        ResourceError: the encoder or the perceptual network is missing, or the video cannot be written.
    """
    model = open_model(request.checkpoint, device, request.tuned)
    columns, rows = request.grid
    size = model.recipe.model.size * request.enlarge
    check_video(request.out, request.fps, size * columns, size * rows, force=request.force)
    plan = _plan(request, model)
    console.say(f"{model.path}, trained on {model.images_seen:,} images")
    if request.pace == Pace.perceptual:
        pace = _walk_at_even_pace(request, plan, console)
    else:
        pace = None
        _write(request, plan, frame_times(plan.frames, closed=request.loop, easing=request.easing.value), None, console)
    result = {
        "path": str(request.out),
        "frames": sum(plan.frames),
        "fps": request.fps,
        "walks": len(plan.walks),
        "segments": plan.segments,
        "pace": pace,
    }
    console.emit(result, [str(request.out)])


def _walk_at_even_pace(request: Request, plan: Plan, console: Console) -> dict[str, float]:
    """Measure the walk, write it, and say how even it has become."""
    strides = _perceptual_strides(plan)
    frames, places = sum(plan.frames), measuring_times(plan.segments, sum(plan.frames))
    looks = []
    with console.progress("Measuring", MEASURING_PASSES * len(places), "places") as advance:
        for _ in range(MEASURING_PASSES):
            looks.append((places, _measure(plan, places, strides(), advance)))
            places = even_times(*looks[-1], len(places), closed=False)
    walked = strides()
    _write(request, plan, even_times(*looks[-1], frames, closed=request.loop), walked, console)
    pace = {
        "places": MEASURING_PASSES * len(places),
        "unevenness_before": unevenness(_by_frame(looks[0][1], frames)),
        "unevenness_after": unevenness(walked.lengths),
    }
    console.say(
        f"The largest step is {pace['unevenness_after']:.2f} times the median one; "
        f"at equal steps of the codes it would be {pace['unevenness_before']:.2f} times"
    )
    return pace


def _plan(request: Request, model: Model) -> Plan:
    truncation = read_truncation(model, request.truncation, request.truncation_layers, request.truncation_centres)
    keys = find_key_frames(model, request.seeds, request.of_class, request.latents, request.space.value, truncation)
    shares = _deal(keys, request.grid)
    segments = len(shares[0]) if request.loop else len(shares[0]) - 1
    try:
        frames = parse_frames(request.frames, segments)
    except ValueError as error:
        raise UsageError(f"--frames {request.frames}: {error}", "For example --frames 60") from None
    mixed = _read_mixed(request, model, truncation)
    walks = [
        make_walk(model, share, truncation, curve=request.curve.value, closed=request.loop, fixed=mixed)
        for share in shares
    ]
    batch = request.batch or default_sampling_batch(model.recipe.model.size)
    if request.batch is None and request.pace == Pace.perceptual:
        batch = max(1, batch // LOOKING_SHARE)
    return Plan(model, walks, segments, frames, batch)


def _deal(keys: KeyFrames, grid: tuple[int, int]) -> list[KeyFrames]:
    walks = grid[0] * grid[1]
    if len(keys) % walks:
        raise UsageError(
            f"--grid {grid[0]}x{grid[1]}: {len(keys)} key frames cannot be shared out evenly among {walks} walks",
            f"Give {(len(keys) // walks + 1) * walks} of them, or another grid.",
        )
    if len(keys) < 2 * walks:
        whose = "a walk takes" if walks == 1 else f"each of {walks} walks takes"
        raise UsageError(
            f"--seeds, --latents: {whose} at least two key frames, and there {_are(len(keys))}",
            "For example --seeds 1,5,9",
        )
    return keys.split(walks)


def _are(count: int) -> str:
    return "is one" if count == 1 else f"are {count}"


def _read_mixed(request: Request, model: Model, truncation: Truncation) -> list[FixedLayers]:
    """What --mix keeps still.

    Raises:
        UsageError: it cannot be read, the model has no such layers, or one of them is named twice.
    """
    found: list[FixedLayers] = []
    for text in request.mix:
        match = re.fullmatch(r"\s*(\d{1,10})\s*@(.+)", text)
        if match is None or int(match[1]) > LARGEST_SEED:
            raise UsageError(f"--mix {text}: not a seed and its layers", "For example --mix 7@coarse")
        try:
            layers = parse_code_layers(match[2], model.recipe.model.num_ws)
        except ValueError as error:
            raise UsageError(f"--mix {text}: {error}", "For example --mix 7@0-3") from None
        twice = sorted({layer for one in found for layer in one.layers} & set(layers))
        if twice:
            raise UsageError(f"--mix {text}: layer {twice[0]} is kept still already", "Name every layer once.")
        named = describe_seeds(model, [int(match[1])], request.of_class)
        labels = None if named.labels is None else named.labels[:1]
        found.append(FixedLayers(layers, codes_of_seeds(model, named.seeds[:1], truncation, labels)))
    return found


def _perceptual_strides(plan: Plan) -> Callable[[], StepLengths]:
    """Makes what measures a walk as people see it.

    Raises:
        ResourceError: the network's weights are not there.
    """
    network = stlpips.load_perceptual(stlpips.WEIGHTS.require(), plan.model.device)

    @torch.inference_mode()
    def features(images: Tensor) -> list[Tensor]:
        return network.features(to_perceptual_input(plan.model, images))

    return lambda: StepLengths(len(plan.walks), features, torch.inference_mode()(network.between))


def _measure(plan: Plan, places: Tensor, strides: StepLengths, advance: Advance) -> list[float]:
    """Perceived lengths between neighbouring places."""
    for images in images_along(plan.model, plan.walks, places, plan.batch):
        strides.add(images)
        advance(len(images) // len(plan.walks))
    return strides.lengths


def _by_frame(lengths: list[float], frames: int) -> list[float]:
    """Steps between places, as steps between so many frames."""
    density = len(lengths) // frames
    return [sum(lengths[start : start + density]) for start in range(0, len(lengths), density)]


def _write(request: Request, plan: Plan, times: Tensor, strides: StepLengths | None, console: Console) -> None:
    with (
        writing_video(request.out, request.fps, request.quality) as write,
        console.progress("Walking", len(times), "frames") as advance,
    ):
        for images in images_along(plan.model, plan.walks, times, plan.batch):
            if strides is not None:
                strides.add(images)
            for frame in frames_of(plan.model, images, request.grid, request.enlarge):
                write(frame)
                advance()
