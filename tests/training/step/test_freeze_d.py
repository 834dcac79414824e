"""FreezeD: which parameters of D are left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from swincli.errors import RecipeError
from swincli.model.discriminators.registry import make_discriminator
from swincli.recipe import Recipe
from swincli.training.run.state import build_state
from swincli.training.step.freeze_d import frozen_parameters, resolution_layers, trained_parameters

MakeRecipe = Callable[..., Recipe]
KINDS = ["wavelet", "plain", "patch"]


def discriminator(tiny_recipe: MakeRecipe, kind: str, *overrides: str) -> nn.Module:
    return make_discriminator(tiny_recipe(f"model.discriminator={kind}", *overrides).model)


def names(network: nn.Module, chosen: set[nn.Parameter]) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter in chosen}


@pytest.mark.parametrize(
    ("kind", "frozen"),
    [
        ("wavelet", [("from_wavelet.0", "trunk.0"), ("from_wavelet.1",)]),
        ("plain", [("trunk.0", "trunk.1"), ("trunk.2",)]),
        ("patch", [("trunk.0", "trunk.1"), ("trunk.2",)]),
    ],
)
def test_resolutions_go_from_the_image_down(tiny_recipe: MakeRecipe, kind: str, frozen: list[tuple[str, ...]]) -> None:
    network = discriminator(tiny_recipe, kind)
    everything = {name for name, _ in network.named_parameters()}
    layers: tuple[str, ...] = ()
    for count, more in enumerate(frozen, start=1):
        layers += more
        expected = {name for name in everything if name.startswith(tuple(f"{layer}." for layer in layers))}
        assert names(network, frozen_parameters(network, count)) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [16, 64])
def test_frozen_and_trained_make_the_whole(tiny_recipe: MakeRecipe, kind: str, size: int) -> None:
    network = discriminator(tiny_recipe, kind, f"model.size={size}")
    for count in range(len(resolution_layers(network)) + 1):
        frozen, trained = frozen_parameters(network, count), trained_parameters(network, count)
        assert [parameter for parameter in network.parameters() if parameter not in frozen] == trained
        assert len(frozen) + len(trained) == len(list(network.parameters()))
        assert trained
    assert not frozen_parameters(network, 0)
    deepest = names(network, set(trained_parameters(network, len(resolution_layers(network)))))
    assert {name.partition(".")[0] for name in deepest} <= {"final_conv", "hidden", "hidden_bias", "logit"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_reaches_the_logit_through_what_is_frozen_first(tiny_recipe: MakeRecipe, kind: str) -> None:
    """The first resolution alone sees the image's full size: without gradient there, D's other layers have theirs."""
    network = discriminator(tiny_recipe, kind)
    network.requires_grad_(False)
    trained = trained_parameters(network, 1)
    for parameter in trained:
        parameter.requires_grad_(True)
    network(torch.randn(4, 3, 16, 16)).mean().backward()
    for parameter in network.parameters():
        assert (parameter.grad is not None) == (parameter in set(trained))


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_are_refused_by_name(tiny_recipe: MakeRecipe, kind: str) -> None:
    with pytest.raises(RecipeError, match=r"train\.freeze_d: is 3, but D has 2 resolutions") as caught:
        build_state(
            tiny_recipe(f"model.discriminator={kind}", "train.init=some.pt", "train.freeze_d=3"),
            "hash",
            torch.device("cpu"),
        )
    assert caught.value.exit_code == 2
    assert "at most 2" in (caught.value.hint or "")


def test_other_networks_are_a_mistake() -> None:
    with pytest.raises(TypeError, match="Linear is not one"):
        resolution_layers(nn.Linear(2, 2))
