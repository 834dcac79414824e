"""Adapt-then-Unlearn in the plane: a small GAN of eight Gaussians forgets two of them and keeps the other six."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from swincli.training.losses.adversarial import ADVERSARIAL
from swincli.training.losses.weight_penalties import REPULSIONS, distance, elastic, fisher_information

MODES, WIDTH, LATENT = 8, 0.05, 3
FORGOTTEN, KEPT = (2, 3), (0, 1, 4, 5, 6, 7)
ANGLES = torch.arange(MODES) * (2 * math.pi / MODES)
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
NEAR = 6 * WIDTH  # a third of the way to the next centre
Penalty = Callable[[dict[str, Tensor]], Tensor]


def gaussians(modes: tuple[int, ...], count: int, random: torch.Generator) -> Tensor:
    drawn = torch.tensor(modes)[torch.randint(len(modes), (count,), generator=random)]
    return CENTRES[drawn] + WIDTH * torch.randn(count, 2, generator=random)


def network(inputs: int, outputs: int) -> nn.Module:
    act = nn.LeakyReLU(0.2)
    return nn.Sequential(nn.Linear(inputs, 64), act, nn.Linear(64, 64), act, nn.Linear(64, outputs))


def weights_of(generator: nn.Module) -> dict[str, Tensor]:
    return {name: weight for name, weight in generator.named_parameters() if weight.dim() > 1}


def shares(generator: nn.Module) -> Tensor:
    """The share of 20,000 samples near each centre."""
    with torch.no_grad():
        points = generator(torch.randn(20_000, LATENT, generator=torch.Generator().manual_seed(9)))
    nearest = torch.cdist(points, CENTRES).min(dim=1)
    return torch.bincount(nearest.indices[nearest.values < NEAR], minlength=MODES) / len(points)


def trained(
    generator: nn.Module,
    discriminator: nn.Module,
    modes: tuple[int, ...],
    steps: int,
    penalty: Penalty | None = None,
    *,
    seed: int,
) -> nn.Module:
    """The moving average of G after some steps on some of the Gaussians; both networks change."""
    random, adversarial = torch.Generator().manual_seed(seed), ADVERSARIAL["logistic"]
    g_adam = torch.optim.Adam(generator.parameters(), 1e-3, (0.0, 0.99))
    d_adam = torch.optim.Adam(discriminator.parameters(), 2e-3, (0.0, 0.99))
    average = copy.deepcopy(generator).requires_grad_(False)
    for _ in range(steps):
        reals = gaussians(modes, 256, random).requires_grad_()
        with torch.no_grad():
            fakes = generator(torch.randn(256, LATENT, generator=random))
        real, fake = discriminator(reals), discriminator(fakes)
        (slope,) = torch.autograd.grad(real.sum(), reals, create_graph=True)
        d_adam.zero_grad()
        (adversarial.d(real, fake) + 0.05 * slope.square().sum(dim=1).mean()).backward()
        d_adam.step()
        loss = adversarial.g(discriminator(generator(torch.randn(256, LATENT, generator=random))), None).mean()
        if penalty is not None:
            loss = loss + penalty(weights_of(generator))
        g_adam.zero_grad()
        loss.backward()
        g_adam.step()
        for mean, weight in zip(average.parameters(), generator.parameters(), strict=True):
            mean.lerp_(weight, 0.01)
    return average


def of_eight() -> tuple[nn.Module, nn.Module]:
    """G and D of all eight Gaussians: G is taught where each latent goes, then both play against each other."""
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    generator, discriminator = network(LATENT, 2), network(2, 1)
    adam = torch.optim.Adam(generator.parameters(), 3e-3)
    for _ in range(800):
        z = torch.randn(512, LATENT, generator=random)
        mode = (torch.atan2(z[:, 1], z[:, 0]) / (2 * math.pi / MODES)).round().long() % MODES
        adam.zero_grad()
        (generator(z) - CENTRES[mode] - WIDTH * z[:, 2:]).square().sum(dim=1).mean().backward()
        adam.step()
    trained(generator, discriminator, tuple(range(MODES)), 1500, seed=1)
    return generator, discriminator


@pytest.mark.slow
def test_two_of_eight_gaussians_are_forgotten_and_six_keep_their_shares(
    record_property: Callable[[str, object], None],
) -> None:
    """Positives alone forget them too: the control is recorded beside it."""
    base, judge = of_eight()
    before = shares(base)
    start = {name: weight.detach().clone() for name, weight in weights_of(base).items()}
    logits = judge(base(torch.randn(256, LATENT, generator=torch.Generator().manual_seed(2))))
    fisher = fisher_information([logits], weights_of(base))
    negatives = trained(
        copy.deepcopy(base), copy.deepcopy(judge), FORGOTTEN, 300, lambda now: elastic(now, start, fisher), seed=3
    )
    assert shares(negatives)[list(FORGOTTEN)].sum() > 0.9
    other = {name: weight.detach() for name, weight in weights_of(negatives).items()}
    alpha = 1 / float(distance(start, other))

    def repulsion(now: dict[str, Tensor]) -> Tensor:
        return 5 * REPULSIONS["exponential"](distance(now, other), alpha)

    forgotten, kept = {}, {}
    for name, penalty in (("repelled", repulsion), ("positives alone", None)):
        unlearnt = trained(copy.deepcopy(base), copy.deepcopy(judge), KEPT, 400, penalty, seed=4)
        after = shares(unlearnt)
        forgotten[name] = float(1 - after[list(FORGOTTEN)].sum() / before[list(FORGOTTEN)].sum())
        kept[name] = after[list(KEPT)] / after[list(KEPT)].sum() * len(KEPT)
        record_property(name, f"PUL {100 * forgotten[name]:.1f}; a sixth times {kept[name].tolist()}")
    assert forgotten["repelled"] > 0.9
    assert forgotten["positives alone"] > 0.9
    assert (kept["repelled"] - 1).abs().max() < 0.2
