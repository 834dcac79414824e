"""Every random number is a function of seed, purpose and images seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from loss_switches import Steps

from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.training.losses import draws
from swincli.training.losses.draws import draw_all
from swincli.training.rng import derive


def draw(*arguments: object) -> torch.Tensor:
    return torch.randn(8, generator=derive(*arguments))  # type: ignore[arg-type]


def test_same_moment_same_numbers() -> None:
    assert torch.equal(draw(1, "latents", 320), draw(1, "latents", 320))


def test_seed_purpose_and_moment_all_matter() -> None:
    drawn = [draw(1, "latents", 320), draw(2, "latents", 320), draw(1, "augment", 320), draw(1, "latents", 352)]
    for index, one in enumerate(drawn):
        assert not any(torch.equal(one, other) for other in drawn[index + 1 :])


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    draw(1, "latents", 0)
    assert torch.equal(torch.rand(1), expected)


def test_lazy_phases_draw_when_they_are_due_and_the_run_keeps_its_bits(
    tiny_recipe: Callable[..., Recipe], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ("augment.transforms=diffaugment", "augment.p=0.5", "loss.r2_gamma=1", "loss.path_length=2")
    recipe = tiny_recipe(*keys, "train.batch=4", "loss.r1_interval=2", "loss.path_length_interval=3")
    lazy = {"augment/r1": 2, "augment/r2": 2, "path_length": 3}
    for step in range(7):
        drawn, everything = draw_all(recipe, 4 * step), draw_all(recipe, 4 * step, every_phase=True)
        assert everything.keys() - drawn.keys() == {name for name, interval in lazy.items() if step % interval}
        assert all(torch.equal(values, everything[name]) for name, values in drawn.items())
    due = Steps(recipe, store)
    reported = due.run(4)
    monkeypatch.setattr(draws, "is_due", lambda *_: True)
    always = Steps(recipe, store)
    assert always.run(4) == reported
    tensors = due.tensors()
    assert all(torch.equal(values, tensors[name]) for name, values in always.tensors().items())
