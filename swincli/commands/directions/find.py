"""`find_direction` and `find_channel`: the work of `swincli directions find` and `from-examples`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.commands.directions.files import file_of, read_scores
from swincli.commands.directions.request import ExamplesRequest, FindRequest
from swincli.commands.model_options import open_model, open_texts
from swincli.commands.options import parsed
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.errors import DataError, UsageError
from swincli.metrics.directions.boundary import find_boundary, orthogonal_to
from swincli.metrics.directions.channels import RankedChannel, rank_channels
from swincli.metrics.directions.examples import linear_score, probe_of_folders, probe_of_label
from swincli.metrics.directions.generated import generated_features, w_of
from swincli.metrics.directions.label_aims import (
    classes_with_and_without,
    labels_with_and_without,
    parse_aim,
    text_with_and_without,
)
from swincli.metrics.directions.label_shift import Shift, mean_shift
from swincli.metrics.networks.attribute_probe import AttributeProbe, require_sklearn
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.synthesis.figures.sweeps import parse_sweep
from swincli.synthesis.latents.codes import codes_of_latents, codes_of_seeds
from swincli.synthesis.latents.directions import METHODS
from swincli.synthesis.latents.files import open_latents
from swincli.synthesis.latents.layer_ranges import format_code_layers, parse_code_layers
from swincli.synthesis.latents.named_directions import Judge, NamedDirection, open_direction, save_direction
from swincli.synthesis.latents.texts import require_texts, text_name
from swincli.synthesis.latents.w_clusters import sample_w
from swincli.units import parse_seeds

LOW_FIT = 0.1  # R^2 of a probe of numbers


@dataclass(frozen=True)
class Job:
    """What finding a direction needs."""

    request: FindRequest
    model: Model
    layers: tuple[int, ...]
    console: Console


def find_direction(request: FindRequest, device: torch.device, console: Console) -> Result:
    """Find a direction in w and save it.

    Raises:
        SwincliError: something cannot be opened, judged or written.
    """
    model = open_model(request.checkpoint, device)
    path = file_of(model, request.name, request.out, force=request.force)
    others = [_open_other(model, name) for name in request.orthogonal_names]
    layers = parsed("--layers", request.layers, lambda text: parse_code_layers(text, model.recipe.model.num_ws))
    direction = FINDERS[request.found_by](Job(request, model, tuple(layers), console))
    if others:
        normals = torch.stack([other.vector for other in others])
        free = orthogonal_to(direction.vector.double(), normals)
        kept = float(free @ direction.vector.double())
        source = f"{direction.source}, orthogonal to {', '.join(request.orthogonal_names)}"
        quality = {**direction.quality, "kept_cosine": kept}
        direction = replace(direction, vector=free.float(), sigma=_sigma(model, free), source=source, quality=quality)
    if request.flip:
        direction = replace(direction, vector=-direction.vector, source=f"{direction.source}, flipped")
    save_direction(path, direction)
    return _result(path, direction)


def _by_folders(job: Job) -> NamedDirection:
    request = job.request
    assert request.positive is not None
    assert request.negative is not None
    require_sklearn()
    job.console.say(f"Judging by {request.positive} against {request.negative}")
    size, device = job.model.recipe.model.size, job.model.device
    probe = probe_of_folders(request.positive, request.negative, size, device)
    return _by_probe(job, probe, f"pictures of {Path(request.positive).name} against {Path(request.negative).name}")


def _by_label(job: Job) -> NamedDirection:
    request = job.request
    assert request.label is not None
    if request.data is None:
        return _by_own_label(job, request.label)
    require_sklearn()
    job.console.say(f"Judging by the labels of {request.data}")
    probe = probe_of_label(request.data, request.label, job.model.recipe.model.size, job.model.device)
    return _by_probe(job, probe, f"label {request.label} of {request.data}")


def _by_own_label(job: Job, label: str) -> NamedDirection:
    """The change of w with a label that the model itself knows."""
    model, seeds = job.model, range(job.request.images)
    if model.attributes is not None:
        aim = parse_aim(model.attributes.each, label, str(model.path))
        having, without = labels_with_and_without(model.attributes, aim, seeds)
    elif model.classes is not None:
        having, without = classes_with_and_without(model.classes, label, seeds, str(model.path))
    else:
        hint = "Give --data: a store with labels, or builtin:cats:5000."
        raise UsageError(f"--label {label}: {model.path} was trained without labels", hint)
    return _by_shift(job, mean_shift(model, seeds, having, without), f"label {label} of the model")


def _by_shift(job: Job, shift: Shift, source: str) -> NamedDirection:
    vector = torch.from_numpy(shift.normal)
    sigma = _sigma(job.model, vector)
    images, held_out = map(float, shift.seeds)
    quality = {"accuracy": shift.accuracy, "steps": shift.length / sigma, "images": images, "held_out": held_out}
    return _named(job, vector, sigma, source, quality)


def _by_probe(job: Job, probe: AttributeProbe, source: str) -> NamedDirection:
    """The boundary between generated images that a probe of "yes" and "no" judges."""
    generated = generated_features(job.model, range(job.request.images), job.console)
    weights, bias = linear_score(probe)
    scores = generated.features.astype(np.float64) @ weights + bias
    found = _by_scores_of(job, generated.w, scores, source)
    seen = float((scores > 0).mean())
    judge = Judge(torch.from_numpy(weights).float(), bias, float(scores.std()))
    if not probe.classes:
        return replace(found, judge=judge, quality={**found.quality, "judge_r2": _checked_fit(job, probe)})
    quality = {**found.quality, "judge_accuracy": probe.quality.balanced_accuracy, "judged_positive": seen}
    if seen * len(scores) < 10:
        hint = "look at the strip of `directions show` before you use it"
        job.console.warn(f"only {seen:.1%} of the generated images show {job.request.name}: {hint}")
    return replace(found, judge=judge, quality=quality)


def _checked_fit(job: Job, probe: AttributeProbe) -> float:
    """R^2 of a probe of numbers on held-out pictures; below 0.1, a warning."""
    fit = probe.quality.accuracy
    if fit < LOW_FIT:
        job.console.warn(f"the pictures hardly tell {job.request.label}: R^2 {fit:.2f} on pictures that were held out")
    return fit


def _by_scores(job: Job) -> NamedDirection:
    assert job.request.scores is not None
    require_sklearn()
    seeds, scores = read_scores(job.request.scores)
    return _by_scores_of(job, w_of(job.model, seeds), scores, f"scores of {job.request.scores.name}")


def _by_scores_of(job: Job, w: NDArray[np.float32], scores: NDArray[np.float64], source: str) -> NamedDirection:
    boundary = find_boundary(w, scores, job.request.share)
    vector = torch.from_numpy(boundary.normal)
    quality = {
        "accuracy": boundary.accuracy,
        "correlation": boundary.correlation,
        "images": float(boundary.images[0]),
        "held_out": float(boundary.images[1]),
    }
    return _named(job, vector, _sigma(job.model, vector), source, quality)


def _by_text(job: Job) -> NamedDirection:
    assert job.request.text is not None
    attributes, _ = require_texts(job.model, "--text")
    opened = open_texts(job.model, [job.request.text], job.console)
    assert opened is not None
    (text,) = opened
    seeds = range(job.request.images)
    having, without = text_with_and_without(attributes, text_name(attributes), text.columns, seeds)
    return _by_shift(job, mean_shift(job.model, seeds, having, without), f'text "{text.text}"')


def _by_component(job: Job) -> NamedDirection:
    assert job.request.component is not None
    section = job.model.recipe.model
    method, numbers, layers = parsed(
        "--component",
        job.request.component,
        lambda text: parse_sweep(text, section.num_ws, section.latent_dim),
        "For example --component pca:3@coarse",
    )
    if len(numbers) != 1:
        raise UsageError(f"--component {job.request.component}: {len(numbers)} components", "A name is for one.")
    directions, (number,) = METHODS[method](job.model, layers), numbers
    quality = {"share": float(directions.shares[number])}
    found = _named(job, directions.vectors[number], float(directions.units[number]), f"{method}:{number}", quality)
    return replace(found, layers=tuple(layers))


FINDERS: dict[str, Callable[[Job], NamedDirection]] = {
    "positive": _by_folders,
    "scores": _by_scores,
    "label": _by_label,
    "text": _by_text,
    "component": _by_component,
}
"""Ways to find a direction, by the option that was given."""


def _named(job: Job, vector: Tensor, sigma: float, source: str, quality: dict[str, float]) -> NamedDirection:
    identity = model_identity(job.model.path)
    return NamedDirection(job.request.name, "w", vector.float(), sigma, job.layers, identity, source, quality=quality)


def _sigma(model: Model, vector: Tensor) -> float:
    """The standard deviation of `w @ vector` over the w of 10,000 seeds."""
    return float((sample_w(model) @ vector.double()).std())


def _open_other(model: Model, name: str) -> NamedDirection:
    direction = open_direction(model, name)
    if direction.space != "w":
        raise UsageError(f"--orthogonal-to {name}: a style channel is no direction in w", "Name directions in w.")
    return direction


def find_channel(request: ExamplesRequest, device: torch.device, console: Console) -> Result:
    """Rank style channels by examples, and save the best.

    Raises:
        SwincliError: something cannot be opened or written.
    """
    model = open_model(request.checkpoint, device)
    path = file_of(model, request.name, request.out, force=request.force)
    examples = _example_codes(model, request.positive)
    ranked = rank_channels(model, examples, request.top)
    for number, one in enumerate(ranked, start=1):
        console.say(f"{number:3d}  {one.channel!s:<18} rank {one.rank:5.2f}  examples at {one.shift:+.2f} sigma")
    chosen = ranked[request.rank - 1 :][: request.channels]
    steps = [one.sigma if one.shift > 0 else -one.sigma for one in chosen]
    direction = NamedDirection(
        name=request.name,
        space="style",
        vector=torch.tensor(steps),
        sigma=1.0,
        layers=(),
        model=model_identity(model.path),
        source=f"{len(examples)} examples",
        channels=tuple(one.channel for one in chosen),
        quality={"rank": chosen[0].rank, "shift": chosen[0].shift},
    )
    save_direction(path, direction)
    result = _result(path, direction)
    return replace(result, facts={**result.facts, "ranking": [_facts_of(one) for one in ranked]})


def _facts_of(one: RankedChannel) -> dict[str, object]:
    return {"channel": str(one.channel), "rank": one.rank, "shift": one.shift, "sigma": one.sigma}


def _example_codes(model: Model, text: str) -> Tensor:
    """w+ of examples: seeds, a file of codes, or a folder of such files."""
    path = Path(text)
    if not path.exists():
        seeds = parsed("--positive", text, parse_seeds, "Seeds such as 3,17,21, a .npz file, or a folder of them.")
        return codes_of_seeds(model, seeds)
    files = sorted(_code_files(path))
    if not files:
        raise DataError(
            f"--positive {text}: a folder without codes (.npz)",
            "Project the pictures first: swincli project PICTURES --space w+ --out DIR.",
        )
    return torch.cat([codes_of_latents(model, open_latents(file, model)) for file in files])


def _code_files(path: Path) -> Iterator[Path]:
    yield from path.rglob("*.npz") if path.is_dir() else [path]


def _result(path: Path, direction: NamedDirection) -> Result:
    facts = {
        "path": str(path),
        "name": direction.name,
        "space": direction.space,
        "layers": format_code_layers(direction.layers),
        "channels": [str(channel) for channel in direction.channels],
        "sigma": direction.sigma,
        "source": direction.source,
        "quality": dict(direction.quality),
    }
    return Result(facts, [str(path)])
