"""Penalties on G's weights: elastic weight consolidation (EWC), and repulsion from other models (Adapt-then-Unlearn).

EWC: Kirkpatrick et al., PNAS 2017; for GANs Li et al., NeurIPS 2020. Repulsion: Tiwary et al., arXiv:2309.14054.
Both depend on the synthesis network's weights alone, see `synthesis_weights`, and belong to G's phase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe
from swincli.training.losses.memory import Memory, Remembered, scalar
from swincli.training.losses.phases import GPhase

Weights = Mapping[str, Tensor]

START, FISHER = "elastic/start/", "elastic/fisher/"
REPELLED = "repel/weights/"
SPREAD, ALPHA = "repel/spread", "repel/alpha"
_NOT_SYNTHESIS = ("mapping.", "embedding.")


def synthesis_weights(generator: nn.Module) -> dict[str, Tensor]:
    """The weights of G's synthesis network by name: of its linear layers and convolutions, and the constant.

    Biases, norms' scales, the mapping network and the labels' embedding are left out.

    Args:
        generator: G, in DDP or not.
    """
    network = generator.module if isinstance(generator, DistributedDataParallel) else generator
    return only_synthesis(dict(network.named_parameters()))


def only_synthesis(weights: Weights) -> dict[str, Tensor]:
    """The part of G's parameters that `synthesis_weights` has."""
    return {
        name: weight
        for name, weight in weights.items()
        if weight.dim() > 1 and not name.endswith("bias") and not name.startswith(_NOT_SYNTHESIS)
    }


def kept_copies(recipe: Recipe) -> int:
    """How many copies of G's weights the penalties of a recipe keep, at most."""
    return 2 * (recipe.loss.elastic > 0) + (recipe.loss.repel > 0)


def elastic(weights: Weights, start: Weights, fisher: Weights) -> Tensor:
    """`1/2 sum F (theta - theta_0)²` over all numbers of all weights, `[]`."""
    parts = [(fisher[name] * (weight - start[name]).square()).sum() for name, weight in weights.items()]
    return torch.stack(parts).sum() / 2


def fisher_information(logits: Iterable[Tensor], weights: Weights) -> dict[str, Tensor]:
    """The diagonal Fisher estimate: the mean over images of the squared gradient of D's logit.

    Args:
        logits: Of batches of generated images, `[B, ...]` each; several logits of an image are averaged.
        weights: What the gradients are of.

    Raises:
        ValueError: there are no images.
    """
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    count = 0
    for batch in logits:
        each = batch.flatten(1).mean(dim=1)
        count += len(each)
        for index, logit in enumerate(each):
            last = index == len(each) - 1
            gradients = torch.autograd.grad(logit, list(weights.values()), retain_graph=not last)
            for name, gradient in zip(weights, gradients, strict=True):
                sums[name] += gradient.square()
    if not count:
        raise ValueError("no images")
    return {name: value / count for name, value in sums.items()}


def distance(weights: Weights, other: Weights) -> Tensor:
    """d2: the mean over tensors of each tensor's mean squared difference, `[]`."""
    return torch.stack([(weight - other[name]).square().mean() for name, weight in weights.items()]).mean()


def middle(models: list[Weights]) -> tuple[dict[str, Tensor], float]:
    """The mean of several models' weights, and their mean d2 from it.

    The mean d2 of any weights from the models is their d2 from the mean plus that number.
    """
    mean = {name: torch.stack([model[name] for model in models]).mean(dim=0) for name in models[0]}
    return mean, sum(float(distance(mean, model)) for model in models) / len(models)


REPULSIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "exponential": lambda d2, alpha: torch.exp(-alpha * d2),
    "inverse": lambda d2, _: 1 / d2,
    "square": lambda d2, _: -d2,
}
"""The repulsion of d2 and alpha, by `loss.repel_form`: EL2, IL2 and NL2 of the paper. The last has no lower bound."""


def elastic_term(phase: GPhase) -> Tensor:
    """`elastic` from the start of the run."""
    memory = phase.setting.memory
    return elastic(synthesis_weights(phase.setting.networks.generator), _under(memory, START), _under(memory, FISHER))


def repel_term(phase: GPhase) -> Tensor:
    """The repulsion from the models of `loss.repel_models`."""
    memory, form = phase.setting.memory, phase.setting.recipe.loss.repel_form
    d2 = distance(synthesis_weights(phase.setting.networks.generator), _under(memory, REPELLED)) + memory.number(SPREAD)
    return REPULSIONS[form](d2, memory.number(ALPHA))


def _under(memory: Memory, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in memory.values.items() if name.startswith(prefix)}


def _zeros(recipe: Recipe, *prefixes: str) -> dict[str, Tensor]:
    """Zeros of the shapes of the synthesis network's weights; the start of a run fills them."""
    with meta_init():
        shapes = {name: weight.shape for name, weight in synthesis_weights(Generator(recipe.model)).items()}
    return {f"{prefix}{name}": torch.zeros(shape) for prefix in prefixes for name, shape in shapes.items()}


REMEMBERED_ELASTIC = Remembered(
    wanted=lambda recipe: recipe.loss.elastic > 0,
    start=lambda recipe: _zeros(recipe, START, FISHER),
    update=lambda *_: {},
)
REMEMBERED_REPEL = Remembered(
    wanted=lambda recipe: recipe.loss.repel > 0,
    start=lambda recipe: {**_zeros(recipe, REPELLED), SPREAD: scalar(0.0), ALPHA: scalar(0.0)},
    update=lambda *_: {},
)
