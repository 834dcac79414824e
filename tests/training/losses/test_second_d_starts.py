"""The heads of the second D before their weight is above 0, and while R1 is trained: Adam does not count such steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from loss_switches import Steps
from tiny_backbone import TINY_RUN, TinyBackbone, install_tiny_backbone
from torch import Tensor

from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.training.losses import vision_aided
from swincli.training.run.shared_state import copy_in_memory
from swincli.training.run.state import restore

MakeRecipe = Callable[..., Recipe]
KEYS = (*TINY_RUN, "loss.features=1")
LATER = "loss.features_from=8"
MOMENTUM = pytest.mark.parametrize("beta1", ["0.0", "0.5"])


@pytest.fixture(autouse=True)
def backbone(monkeypatch: pytest.MonkeyPatch) -> TinyBackbone:
    return install_tiny_backbone(monkeypatch)


def heads(steps: Steps) -> list[Tensor]:
    return list(steps.state.discriminator.get_submodule(vision_aided.NAME).parameters())


def copies(steps: Steps) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in heads(steps)]


def assert_same_bits(one: Steps, other: Steps) -> None:
    ours, theirs = one.tensors(), other.tensors()
    assert ours.keys() == theirs.keys()
    assert [name for name, value in theirs.items() if not torch.equal(ours[name], value)] == []


@MOMENTUM
def test_the_first_update_after_a_warm_up_is_that_of_a_new_adam(
    tiny_recipe: MakeRecipe, larger_store: Store, beta1: str
) -> None:
    steps = Steps(tiny_recipe(*KEYS, LATER, f"train.beta1={beta1}", "train.d_lr=0.001"), larger_store)
    steps.run(2)
    assert not any(parameter in steps.state.d_optimizer.state for parameter in heads(steps))
    before, rate = copies(steps), steps.state.d_optimizer.param_groups[0]["lr"]
    steps.run(1)  # R1 too
    moved = torch.cat([(new - old).flatten() for new, old in zip(copies(steps), before, strict=True)])
    torch.testing.assert_close(moved.abs().max(), torch.tensor(rate), rtol=1e-2, atol=0)
    assert {len(steps.state.d_optimizer.state[parameter]) for parameter in heads(steps)} == {3}


def moments_of_zeros(steps: Steps) -> dict[str, Any]:
    """A copy of the state as an older version wrote it: with moments of 0 for the heads."""
    content = copy_in_memory(steps.state)
    state, group = content["d_optimizer"]["state"], steps.state.d_optimizer.param_groups[0]["params"]
    numbers = {parameter: number for number, parameter in enumerate(group)}
    for parameter in heads(steps):
        zeros = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        state[numbers[parameter]] = {"step": torch.tensor(3.0), **zeros}
    return content


def content_now(steps: Steps) -> dict[str, Any]:
    return copy_in_memory(steps.state)


@pytest.mark.parametrize("content_of", [content_now, pytest.param(moments_of_zeros, marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_in_its_warm_up_goes_on_to_the_bit(
    tiny_recipe: MakeRecipe, larger_store: Store, content_of: Callable[[Steps], dict[str, Any]]
) -> None:
    unbroken = Steps(tiny_recipe(*KEYS, LATER), larger_store)
    unbroken.run(1)
    content = content_of(unbroken)
    resumed = Steps(tiny_recipe(*KEYS, LATER), larger_store)
    restore(resumed.state, content)
    assert resumed.run(3) == unbroken.run(3)
    assert_same_bits(resumed, unbroken)


@MOMENTUM
def test_r1_does_not_move_the_heads(tiny_recipe: MakeRecipe, larger_store: Store, beta1: str) -> None:
    steps = Steps(tiny_recipe(*KEYS, f"train.beta1={beta1}"), larger_store)
    (r1,) = (phase for phase in steps.phases if phase.name == "R1")
    steps.run(1)
    before = copies(steps)
    r1.run(steps.micro_batches())
    assert all(torch.equal(new, old) for new, old in zip(copies(steps), before, strict=True))
    counted = {int(steps.state.d_optimizer.state[parameter]["step"]) for parameter in heads(steps)}
    assert counted == {3 if beta1 == "0.0" else 1}


@pytest.mark.slow
def test_micro_batches_change_nothing_across_the_start(
    tiny_recipe: MakeRecipe, larger_store: Store, backbone: TinyBackbone
) -> None:
    backbone.double()
    keys = (*KEYS, "train.batch=16", "loss.features_from=16")
    whole, parts = (Steps(tiny_recipe(*keys, *more), larger_store, double=True) for more in ([], ["run.micro_batch=8"]))
    for ours, theirs in zip(parts.run(2), whole.run(2), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("joint", ["false", "true"])
def test_d_keeps_no_graph_of_the_backbone(
    tiny_recipe: MakeRecipe, larger_store: Store, backbone: TinyBackbone, joint: str
) -> None:
    steps = Steps(tiny_recipe(*KEYS, f"loss.joint_penalty={joint}"), larger_store)
    d, seen = steps.phases[0], list[bool]()
    assert d.name == "D"
    backbone.layers[-1].register_forward_hook(lambda _, __, out: seen.append(out.requires_grad))
    reported = d.run(steps.micro_batches())
    assert seen == [False, False]
    assert ("loss/r1" in reported) == (joint == "true")


def test_heads_have_the_same_gradients_for_images_that_are_constants(
    tiny_recipe: MakeRecipe, larger_store: Store
) -> None:
    second = Steps(tiny_recipe(*KEYS), larger_store).state.discriminator.get_submodule(vision_aided.NAME).eval()
    second.requires_grad_(True)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    results = []
    for each in (images, images.clone().requires_grad_()):
        logits = second(each)
        results.append([logits, *torch.autograd.grad(logits.square().mean(), list(second.parameters()))])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
