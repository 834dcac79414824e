"""Elastic weight consolidation and repulsion: by hand for two numbers, and the weights that they are taken over."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.training.losses.remembered import new_memory
from swincli.training.losses.weight_penalties import (
    REPULSIONS,
    distance,
    elastic,
    fisher_information,
    kept_copies,
    middle,
    synthesis_weights,
)

THETA = {"a": [3.0], "b": [1.0]}
OTHER = {"a": [1.0], "b": [2.0]}  # d2 is (4 + 1) / 2
D2 = 2.5
FORMS = {  # value, and its derivative by d2; alpha is 0.4
    "exponential": (math.exp(-0.4 * D2), -0.4 * math.exp(-0.4 * D2)),
    "inverse": (1 / D2, -1 / D2**2),
    "square": (-D2, -1.0),
}


def tensors(values: dict[str, list[float]]) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in values.items()}


@pytest.mark.parametrize("form", REPULSIONS)
def test_repulsions_by_hand(form: str) -> None:
    """The derivative of d2 by a number of a tensor of n numbers, among T tensors, is 2 (theta - other) / (n T)."""
    theta, (expected, slope) = tensors(THETA), FORMS[form]
    value = REPULSIONS[form](distance(theta, tensors(OTHER)), 0.4)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-12)
    found = [float(theta[name].grad) for name in ("a", "b")]  # type: ignore[arg-type]
    assert found == pytest.approx([slope * 2 * 2 / 2, slope * 2 * -1 / 2], rel=1e-12)


def test_every_tensor_counts_alike() -> None:
    one = {"large": torch.zeros(100, 10), "small": torch.zeros(2)}
    other = {"large": torch.full((100, 10), 2.0), "small": torch.ones(2)}
    assert distance(one, other).item() == pytest.approx((4 + 1) / 2)


def test_the_elastic_penalty_by_hand() -> None:
    theta, fisher = tensors(THETA), {"a": torch.tensor([0.5]), "b": torch.tensor([4.0])}
    value = elastic(theta, tensors(OTHER), fisher)
    value.backward()
    assert value.item() == pytest.approx((0.5 * 4 + 4 * 1) / 2)
    assert [float(theta[name].grad) for name in ("a", "b")] == pytest.approx([0.5 * 2, 4 * -1])  # type: ignore[arg-type]
    assert elastic(theta, theta, fisher).item() == 0


def test_fisher_information_is_of_single_images() -> None:
    """The logit of image z is `a z + b z²`: the mean of squared gradients, not the square of the mean one."""
    theta, z = tensors(THETA), torch.tensor([[1.0], [-1.0], [2.0], [0.0]], dtype=torch.float64)
    found = fisher_information((theta["a"] * part + theta["b"] * part**2 for part in z.split(2)), theta)
    assert found["a"].tolist() == [pytest.approx((1 + 1 + 4) / 4)]
    assert found["b"].tolist() == [pytest.approx((1 + 1 + 16) / 4)]
    with pytest.raises(ValueError, match="no images"):
        fisher_information([], theta)


def test_the_mean_distance_from_several_models_is_that_from_their_mean() -> None:
    random = torch.Generator().manual_seed(0)
    theta, *models = [
        {"a": torch.randn(4, 3, generator=random).double(), "b": torch.randn(5, 1, generator=random).double()}
        for _ in range(4)
    ]
    mean, spread = middle(list(models))
    expected = sum(float(distance(theta, model)) for model in models) / 3
    assert float(distance(theta, mean)) + spread == pytest.approx(expected, rel=1e-12)
    assert middle(models[:1])[1] == 0


def test_they_are_over_weights_of_the_synthesis_network(tiny_recipe: Callable[..., Recipe]) -> None:
    generator = Generator(tiny_recipe("model.classes=2").model)
    names = set(synthesis_weights(generator))
    assert {"constant", "levels.0.to_rgb.conv.weight", "levels.0.blocks.0.norm1.style.weight"} < names
    left = {name for name, _ in generator.named_parameters()} - names
    assert {"mapping.1.weight", "embedding.linear.weight", "levels.0.blocks.0.mlp.expand.bias"} < left
    assert all(name.startswith(("mapping.", "embedding.")) or "bias" in name or "upsample" in name for name in left)
    assert all(isinstance(weight, nn.Parameter) for weight in synthesis_weights(generator).values())


def test_only_their_recipes_remember_weights(tiny_recipe: Callable[..., Recipe]) -> None:
    keys = ("train.init=start", 'loss.repel_models=["other"]')
    assert not new_memory(tiny_recipe(*keys)).values
    both = tiny_recipe(*keys, "loss.elastic=1", "loss.repel=1")
    count = len(synthesis_weights(Generator(both.model)))
    assert len(new_memory(both).values) == 3 * count + 2
    assert [kept_copies(each) for each in (tiny_recipe(*keys), both)] == [0, 3]
