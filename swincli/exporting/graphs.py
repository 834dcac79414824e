"""What is exported of a generator: its graph from z or from w+ to images, and from z to w; truncation is an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from swincli.errors import CheckpointError
from swincli.model.blocks.style import STYLES
from swincli.model.files.model_file import CLASS_SAMPLES, Model, centre_z
from swincli.model.generator import Generator

GraphName = Literal["z", "w-plus", "mapping"]

IMAGE, W = "image", "w"
"""Names of the outputs."""
TRUNCATION, LAYERS, LABEL = "truncation", "truncation_layers", "label"
"""Names of the inputs after the code."""


class Pixels(nn.Module):
    """Images in the network's range to 0 ... 1, clipped: round(255 x) is the uint8 image."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = (nn.Buffer(torch.tensor(values)[:, None, None]) for values in (mean, std))

    def forward(self, images: Tensor) -> Tensor:
        """`[B, 3, H, W]` in both."""
        return (images * self.std + self.mean).clamp(0.0, 1.0)


def moved(codes: Tensor, centre: Tensor, strength: Tensor) -> Tensor:
    """`truncate` with a tensor as the strength; at 1 the codes stay as they are to the bit."""
    return codes + (1.0 - strength) * (centre - codes)


def centre_values(model: Model) -> Tensor:
    """What the truncation centres of a model's labels are made from, for `centre_of`.

    The mean w `[latent_dim]`; of a model with classes, that of every class `[classes, latent_dim]`; of one with
    attributes, z whose mean w is the centre, `[200, latent_dim]`: it has too many labels for a table.
    """
    if model.attributes is not None:
        return centre_z(CLASS_SAMPLES, model.recipe.model.latent_dim)
    return model.w_mean if model.w_mean_by_class is None else model.w_mean_by_class


def centre_of(generator: Generator, values: Tensor, label: Tensor | None) -> Tensor:
    """The truncation centre of each image, `[B, latent_dim]` or one `[latent_dim]`."""
    if label is None:
        return values
    if label.ndim == 1:
        return values[label]
    count, samples = label.shape[0], values.shape[0]
    z = values[None].expand(count, -1, -1).flatten(0, 1)
    labels = label[:, None].expand(-1, samples, -1).flatten(0, 1)
    centres: Tensor = generator.map(z, labels).unflatten(0, (count, samples)).mean(dim=1)
    return centres


class MappingGraph(nn.Module):
    """z, psi and the label of a conditional model -> truncated w, `[B, latent_dim]`."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.generator = model.generator
        self.centre = nn.Buffer(centre_values(model))

    def forward(self, z: Tensor, truncation: Tensor, label: Tensor | None = None) -> Tensor:
        """`[B, latent_dim]`, scalar, int64 `[B]` or float32 `[B, columns]` -> `[B, latent_dim]`."""
        centre = centre_of(self.generator, self.centre, label)
        return moved(self.generator.map(z, label), centre, truncation)


class SynthesisGraph(nn.Module):
    """w+, psi and the number of truncated codes -> image. The centre of truncation is the model's mean w."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.generator = model.generator
        self.pixels = Pixels(model.recipe.model.pixel_mean, model.recipe.model.pixel_std)
        self.centre = nn.Buffer(model.w_mean)

    def forward(self, w_plus: Tensor, truncation: Tensor, truncation_layers: Tensor) -> Tensor:
        """`[B, num_ws, latent_dim]`, scalar, int64 scalar -> `[B, 3, H, W]`."""
        return self.render(w_plus, moved(w_plus, self.centre, truncation), truncation_layers)

    def render(self, w_plus: Tensor, truncated: Tensor, layers: Tensor) -> Tensor:
        """The image of the first `layers` truncated codes and of the other codes as they are."""
        first = torch.arange(self.generator.num_ws, device=w_plus.device) < layers
        image: Tensor = self.pixels(self.generator.synthesise(torch.where(first[:, None], truncated, w_plus)))
        return image


class WholeGraph(SynthesisGraph):
    """z, psi, the number of truncated codes and the label of a conditional model -> image."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.centre = nn.Buffer(centre_values(model))

    def forward(self, z: Tensor, truncation: Tensor, truncation_layers: Tensor, label: Tensor | None = None) -> Tensor:
        """`[B, latent_dim]`, scalar, int64 scalar, int64 `[B]` or float32 `[B, columns]` -> `[B, 3, H, W]`."""
        w, centre = self.generator.map(z, label), centre_of(self.generator, self.centre, label)
        codes, truncated = (self.generator.broadcast(each) for each in (w, moved(w, centre, truncation)))
        return self.render(codes, truncated, truncation_layers)


@dataclass(frozen=True)
class GraphKind:
    """A kind of graph.

    Attributes:
        build: The module, from a model.
        code: Name of the first input.
        output: Name of the output.
        takes_layers: Whether the number of truncated codes is an input.
        takes_label: Whether a conditional model's label is an input.
    """

    build: Callable[[Model], nn.Module]
    code: str
    output: str
    takes_layers: bool
    takes_label: bool


GRAPHS: dict[GraphName, GraphKind] = {
    "z": GraphKind(WholeGraph, "z", IMAGE, takes_layers=True, takes_label=True),
    "w-plus": GraphKind(SynthesisGraph, "w_plus", IMAGE, takes_layers=True, takes_label=False),
    "mapping": GraphKind(MappingGraph, "z", W, takes_layers=False, takes_label=True),
}
"""The graphs; "mapping" is for the page, which mixes codes between it and "w-plus"."""


@dataclass(frozen=True)
class Graph:
    """A graph of a model that is ready to be exported.

    Attributes:
        name: A key of `GRAPHS`.
        module: The graph as a module, on the CPU and in eval mode.
        inputs: Names of its inputs, in the order of the module's arguments.
        output: Name of its output.
        example: Inputs of two images, in that order.
    """

    name: GraphName
    module: nn.Module
    inputs: tuple[str, ...]
    output: str
    example: tuple[Tensor, ...]

    @property
    def batched(self) -> tuple[bool, ...]:
        """Whether each input has one row an image."""
        return tuple(value.ndim > 0 for value in self.example)


def make_graph(model: Model, name: GraphName) -> Graph:
    """A graph of a model on the CPU.

    Raises:
        CheckpointError: the model normalises by statistics of batches.
    """
    section, kind = model.recipe.model, GRAPHS[name]
    if STYLES[section.style].whole_batch:
        raise CheckpointError(
            f'{model.path}: model.style = "{section.style}" normalises by statistics of training batches, which is not '
            "exported",
            "Export a model of another style, such as adain.",
        )
    codes = torch.zeros(2, section.num_ws, section.latent_dim)
    example = {kind.code: codes if name == "w-plus" else codes[:, 0].contiguous(), TRUNCATION: torch.tensor(1.0)}
    if kind.takes_layers:
        example[LAYERS] = torch.tensor(section.num_ws)
    if kind.takes_label and model.classes is not None:
        example[LABEL] = torch.zeros(2, dtype=torch.int64)
    if kind.takes_label and model.attributes is not None:
        example[LABEL] = model.attributes.rows[:1].repeat(2, 1)
    return Graph(name, kind.build(model).eval(), tuple(example), kind.output, tuple(example.values()))


def trace(graph: Graph) -> torch.export.ExportedProgram:
    """The operations of a graph by torch.export, with any number of images.

    A model takes its plain path there: whole maps, without tiles or kernels of its own.
    """
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} if batched else None for batched in graph.batched)
    with torch.no_grad():
        graph.module(*graph.example)  # the cached constants are made now, and their making is not in the graph
        return torch.export.export(graph.module, graph.example, dynamic_shapes=shapes)
