"""Every random number is a function of seed, purpose and images seen."""

from __future__ import annotations

import torch

from swincli.training.rng import derive


def draw(*arguments: object) -> torch.Tensor:
    return torch.randn(8, generator=derive(*arguments))  # type: ignore[arg-type]


def test_same_moment_same_numbers() -> None:
    assert torch.equal(draw(1, "latents", 320), draw(1, "latents", 320))


def test_seed_purpose_and_moment_all_matter() -> None:
    draws = [draw(1, "latents", 320), draw(2, "latents", 320), draw(1, "augment", 320), draw(1, "latents", 352)]
    for index, one in enumerate(draws):
        assert not any(torch.equal(one, other) for other in draws[index + 1 :])


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    draw(1, "latents", 0)
    assert torch.equal(torch.rand(1), expected)
