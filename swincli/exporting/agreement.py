"""Agreement of an exported graph with PyTorch: the same codes go through both, and the results are compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.errors import CheckpointError
from swincli.exporting.graphs import GRAPHS, IMAGE, LABEL, LAYERS, TRUNCATION, Graph
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.attributes import draw_attributes
from swincli.synthesis.latents.classes import draw_labels
from swincli.synthesis.latents.codes import codes_of_z, z_from_seeds
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sampling import default_sampling_batch

SEEDS = 16
TOLERANCE = 1e-4
"""Largest difference of a value of an image (0 to 1) or of w from PyTorch's."""

Inputs = Mapping[str, NDArray[Any]]
Run = Callable[[Inputs], NDArray[np.float32]]
"""Runs an exported graph: arrays by the names of the inputs to the output."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Inputs of some images, and what PyTorch makes of them."""

    inputs: Inputs
    expected: NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """How far an exported graph is from PyTorch.

    Attributes:
        largest: Largest difference of a value.
        bytes_changed: Share of the bytes of the uint8 images that differ; 0 for w.
        largest_byte: Largest difference of a byte; 0 for w.
        psnr: The least PSNR of an image in dB; infinite for equal images and for w.
    """

    largest: float
    bytes_changed: float = 0.0
    largest_byte: int = 0
    psnr: float = math.inf


def inputs_of_seeds(model: Model, graph: Graph, seeds: Sequence[int], psi: float, layers: int) -> Inputs:
    """Inputs of a graph for the images of seeds, with the labels that `swincli sample` draws.

    w+ is untruncated and mixed: its odd codes are those of the next seed.
    """
    z, labels = z_from_seeds(seeds, model.recipe.model.latent_dim), _labels(model, seeds)
    code = z
    if graph.name == "w-plus":
        code = codes_of_z(model, z, labels=labels).clone()
        code[:, 1::2] = codes_of_z(model, z.roll(-1, 0), labels=labels)[:, 1::2]
    values = {TRUNCATION: torch.tensor(psi), LAYERS: torch.tensor(layers), LABEL: labels}
    given = {GRAPHS[graph.name].code: code, **{name: value for name, value in values.items() if value is not None}}
    return {name: given[name].numpy() for name in graph.inputs}


def _labels(model: Model, seeds: Sequence[int]) -> Tensor | None:
    if model.attributes is not None:
        return draw_attributes(model.attributes, seeds)
    return None if model.classes is None else draw_labels(seeds, model.classes.even)


def make_probes(model: Model, graph: Graph) -> list[Probe]:
    """Probes of 16 seeds in batches of different sizes, without and with truncation, and with truncation of some codes.

    What is expected comes from the model's own way, not from the graph.
    """
    count = model.recipe.model.num_ws
    settings = [(1.0, count), (0.7, count), (0.5, max(1, count // 2)), (1.3, count)]
    sizes = [1, *4 * [min(4, default_sampling_batch(model.recipe.model.size))]]
    ends = np.minimum(np.cumsum([*sizes, *SEEDS * [sizes[-1]]]), SEEDS)
    starts = [0, *ends[:-1]]
    spans = [range(start, end) for start, end in zip(starts, ends, strict=True) if end > start]
    given = [inputs_of_seeds(model, graph, span, *settings[index % 4]) for index, span in enumerate(spans)]
    return [Probe(inputs, expected_output(model, graph, inputs)) for inputs in given]


def expected_output(model: Model, graph: Graph, inputs: Inputs) -> NDArray[np.float32]:
    """What a graph must give, by the model's own way: image by image, in tiles on a CPU."""
    code, labels = (
        torch.from_numpy(inputs[key]) if key in inputs else None for key in (GRAPHS[graph.name].code, LABEL)
    )
    assert code is not None
    section = model.recipe.model
    truncation = Truncation(float(inputs[TRUNCATION]), int(inputs[LAYERS]) if LAYERS in inputs else None)
    with torch.inference_mode():
        if graph.name == "w-plus":
            codes = truncation.apply(code, model.w_mean)
        else:
            codes = codes_of_z(model, code, truncation, labels)
        if graph.output != IMAGE:
            return np.asarray(codes[:, 0].numpy(), np.float32)
        mean, std = (torch.tensor(values)[:, None, None] for values in (section.pixel_mean, section.pixel_std))
        images = torch.cat([model.generator.synthesise(one) for one in codes.split(1)])
        return np.asarray((images * std + mean).clamp(0, 1).numpy(), np.float32)


def compare(probes: Iterable[Probe], run: Run, output: str) -> Agreement:
    """Send probes through an exported graph."""
    largest, psnr, changed, total, largest_byte = 0.0, math.inf, 0, 0, 0
    for probe in probes:
        found = run(probe.inputs)
        if found.shape != probe.expected.shape or not np.isfinite(found).all():
            return Agreement(math.inf, 1.0, 255, 0.0)
        largest = max(largest, float(np.abs(found - probe.expected).max()))
        if output != IMAGE:
            continue
        one, other = (to_bytes(values).astype(int) for values in (found, probe.expected))
        apart = np.abs(one - other)
        changed, total, largest_byte = (
            changed + int((apart > 0).sum()),
            total + apart.size,
            max(largest_byte, apart.max()),
        )
        squares = float((apart.astype(float) ** 2).mean(axis=(1, 2, 3)).max())
        psnr = min(psnr, 10 * math.log10(255**2 / squares) if squares else math.inf)
    return Agreement(largest, changed / max(1, total), int(largest_byte), psnr)


def to_bytes(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The uint8 images of an output, `[B, 3, H, W] -> [B, H, W, 3]`."""
    pictures: NDArray[np.uint8] = np.rint(images * 255.0).astype(np.uint8).transpose(0, 2, 3, 1)
    return pictures


def check_agreement(name: str, found: Agreement) -> None:
    """Check that an exported float32 graph is PyTorch's.

    Raises:
        CheckpointError: it is not; `name` is the file that was to be written.
    """
    if found.largest <= TOLERANCE and found.largest_byte <= 1:
        return
    raise CheckpointError(
        f"{name}: not written, because the exported graph differs from PyTorch by {found.largest:.2g} "
        f"({found.largest_byte} of 255); {TOLERANCE:g} is allowed",
        "Please report this with the model's recipe: `swincli recipe show` prints it.",
    )
