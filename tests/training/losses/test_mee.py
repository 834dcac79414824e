"""MEE: what the entropy measures, the ring of earlier codes, and which side of each distance is a constant."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from plain_losses import plain_losses
from small_networks import MODEL, WIDTH, Pictures, small_discriminator
from torch import Tensor

from swincli.recipe import Recipe
from swincli.recipe.objective import LossSection
from swincli.recipe.schema import TrainSection
from swincli.training.losses.batch import Batch
from swincli.training.losses.draws import draw_all
from swincli.training.losses.mee import REMEMBERED, dlle, nearest_entropy
from swincli.training.losses.memory import Memory, Step
from swincli.training.losses.remembered import new_memory, noted_features, update_memory
from swincli.training.losses.views import hidden_only
from swincli.training.losses.weights import WEIGHTS, terms_of

BATCH = 8


def recipe_of(section: LossSection) -> Recipe:
    return Recipe(model=MODEL, loss=section, train=TrainSection(batch=BATCH))


def batch_of(section: LossSection, **draws: Tensor) -> Batch:
    random = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH, 3, 16, 16, generator=random)
    d, g = torch.randn(2, BATCH, 16, generator=random)
    return Batch(images, d, g, draws=draw_all(recipe_of(section), 0) | draws)


def on_an_arc(side: float, count: int) -> Tensor:
    """Unit vectors of random points in a small square of the sphere; 1 - cosine is half their squared distance."""
    points = side * torch.rand(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.cat([points, (1 - points.square().sum(dim=1, keepdim=True)).sqrt()], dim=1)


def test_the_estimate_grows_by_log_four_when_the_square_s_side_doubles() -> None:
    small, large = (-nearest_entropy(on_an_arc(s, 400)[:200], on_an_arc(s, 400)[200:]).item() for s in (0.01, 0.02))
    assert large - small == pytest.approx(math.log(4), abs=1e-3)


def test_duplicates_have_a_large_gradient_and_pull_apart() -> None:
    earlier = F.normalize(torch.randn(16, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    codes = F.normalize(earlier[:4] + 1e-2 * torch.randn(4, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    far = F.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(2)), dim=1)
    sizes = []
    for value in (codes, far):
        leaf = value.clone().requires_grad_()
        before = nearest_entropy(leaf, earlier)
        (gradient,) = torch.autograd.grad(before, leaf)
        sizes.append(gradient.norm().item())
        moved = F.normalize(value - 1e-4 * gradient, dim=1)
        assert nearest_entropy(moved, earlier) < before  # the distance to the nearest grows
    assert sizes[0] > 10 * sizes[1]


def test_equal_codes_have_a_finite_loss() -> None:
    codes = F.normalize(torch.randn(3, 8), dim=1).requires_grad_()
    loss = nearest_entropy(codes, codes.detach())
    assert loss.item() <= -math.log(1e-8) + 1e-3
    assert torch.autograd.grad(loss, codes)[0].isfinite().all()


def test_on_eight_gaussians_a_collapsed_generator_finds_more_modes() -> None:
    """With an ideal D (the density of the modes), a generator in one mode stays there; with the entropy it spreads."""
    angles = torch.arange(8) * (2 * math.pi / 8)
    modes = torch.stack([angles.cos(), angles.sin()], dim=1)

    def modes_found(weight: float) -> int:
        torch.manual_seed(0)
        generator = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 2))
        with torch.no_grad():
            generator[2].weight.mul_(0.05)
            generator[2].bias.copy_(modes[0])
        optimizer = torch.optim.Adam(generator.parameters(), lr=2e-2)
        earlier = torch.nn.functional.normalize(generator(torch.randn(64, 4)).detach(), dim=1)
        for _ in range(150):
            points = generator(torch.randn(64, 4))
            codes = torch.nn.functional.normalize(points, dim=1)
            density = torch.logsumexp(-torch.cdist(points, modes).square() / 0.08, dim=1)
            loss = -density.mean() + weight * nearest_entropy(codes, earlier)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            earlier = torch.cat([earlier, codes.detach()])[-256:]
        distances = torch.cdist(generator(torch.randn(512, 4)), modes)
        return len(distances[distances.amin(dim=1) < 0.3].argmin(dim=1).unique())

    assert modes_found(0.0) == 1
    assert modes_found(1.0) > 3


def test_the_ring_holds_the_newest_codes_and_every_one_of_a_batch() -> None:
    recipe = recipe_of(LossSection(mee_entropy=1.0, mee_buffer=5))
    values = REMEMBERED.start(recipe)
    for first in (0, 3, 6):
        codes = torch.arange(first, first + 3.0)[:, None].expand(3, WIDTH)
        values |= REMEMBERED.update(values, Step(recipe, 0, {}, {"mee/d": codes, "mee/g": codes + 100}))
    assert sorted(values["mee/d"][:, 0].tolist()) == [4, 5, 6, 7, 8]
    assert sorted(values["mee/g"][:, 0].tolist()) == [104, 105, 106, 107, 108]
    assert values["mee/d/count"].item() == 5
    many = torch.arange(20.0)[:, None].expand(20, WIDTH)
    values |= REMEMBERED.update(values, Step(recipe, 0, {}, {"mee/d": many}))
    assert sorted(values["mee/d"][:, 0].tolist()) == [15, 16, 17, 18, 19]


def test_both_phases_compare_with_rings_of_their_own_and_fill_them_after_use() -> None:
    section = LossSection(mee_entropy=0.5)
    recipe, batch, discriminator = recipe_of(section), batch_of(section), small_discriminator()
    memory = new_memory(recipe)
    losses = plain_losses(Pictures(), discriminator, section, model=MODEL, memory=memory)
    assert losses.d_loss(batch)["loss/mee_entropy_d"].item() == 0  # nothing to compare with yet
    losses.g_loss(batch)
    update_memory(memory, Step(recipe, 0, {}, noted_features(memory)))
    assert memory.noted == {}
    again, of_g = losses.d_loss(batch), losses.g_loss(batch)
    assert again["loss/mee_entropy_d"].item() > 0
    with torch.no_grad():
        discriminator.eval()
        hidden = discriminator(batch.reals, None, lambda network, images, _: hidden_code(network, images))
    ring = memory.values["mee/d"][:BATCH]
    assert again["loss/mee_entropy_d"].item() == pytest.approx(nearest_entropy(hidden, ring).item(), abs=0.3)
    assert of_g["loss/mee_entropy_g"].item() != again["loss/mee_entropy_d"].item()


def hidden_code(network: object, images: Tensor) -> Tensor:
    return F.normalize(hidden_only(network, images, None), dim=1)


def test_dlle_pulls_the_image_s_code_to_the_constant_code_of_its_mirror_image() -> None:
    section = LossSection(mee_dlle=2.0)
    batch = batch_of(section, **{"mee/axis": torch.full((BATCH,), 0.9)})
    discriminator = small_discriminator()
    losses = plain_losses(Pictures(), discriminator, section, model=MODEL)
    got = losses.d_loss(batch)["loss/mee_dlle"]
    discriminator.eval()
    expected = torch.zeros(())
    fakes = Pictures()(batch.d_latents)
    for images, name in ((batch.reals, "mee/real"), (fakes, "mee/fake")):
        target = hidden_code(discriminator, images.flip(3) + 0.001 * batch.draws[name]).detach()
        expected = expected + (1 - (hidden_code(discriminator, images) * target).sum(dim=1)).mean()
    torch.testing.assert_close(got, expected.detach(), rtol=0.2, atol=1e-3)  # the fakes' forward moves the vectors
    images = batch.reals.clone().requires_grad_()
    target_path = replace(batch, reals=images)
    phase = losses._d_phase(target_path, images, None, fakes)
    (gradient,) = torch.autograd.grad(dlle(phase), images)
    code = hidden_code(discriminator, images)
    mirrored = hidden_code(discriminator, images.flip(3) + 0.001 * batch.draws["mee/real"]).detach()
    (frozen,) = torch.autograd.grad((1 - (code * mirrored).sum(dim=1)).mean(), images)
    torch.testing.assert_close(gradient, frozen, rtol=1e-3, atol=1e-6)


def test_dlle_flips_the_whole_batch_along_a_random_axis() -> None:
    recipe = recipe_of(LossSection(mee_dlle=1.0))
    axes = torch.stack([draw_all(recipe, seen)["mee/axis"] for seen in range(0, 200 * BATCH, BATCH)])
    assert (axes == axes[:, :1]).all()
    assert 0.35 < (axes[:, 0] < 0.5).float().mean() < 0.65


def test_disomap_s_noise_is_a_twentieth_of_a_code_s_root_mean_square() -> None:
    """A discriminator without reaction to the blend's weight shows the noise alone."""
    section = LossSection(mee_disomap=1.0)
    batch = batch_of(section, **{"mee/blend": torch.ones(BATCH)})
    discriminator = small_discriminator().eval()
    got = plain_losses(Pictures(), discriminator, section, model=MODEL).d_loss(batch)["loss/mee_disomap"].item()
    assert got == pytest.approx(0.05**2 / 2, rel=0.6)  # 1 - cosine of a small angle: half its square


def test_the_entropy_s_weight_rises_linearly_to_its_end_in_both_phases() -> None:
    section = LossSection(mee_entropy=0.5, mee_until=1000)
    at_once = LossSection(mee_entropy=0.5)
    for name in ("mee_entropy_d", "mee_entropy_g"):
        weights = [WEIGHTS[name](section, seen) for seen in (0, 250, 1000, 5000)]
        assert weights == [0, 0.125, 0.5, 0.5]
        assert [WEIGHTS[name](at_once, seen) for seen in (0, 250, 1000)] == [0.5] * 3
        assert name in terms_of(section)
    late = LossSection(features=1.0, features_from=100, features_end=0.0, features_until=200)
    assert {"features_d", "features_g"} <= set(terms_of(late))


def test_old_states_keep_the_rings_of_the_same_size_only() -> None:
    memory = new_memory(recipe_of(LossSection(mee_entropy=1.0, mee_buffer=4)))
    saved = memory.state_dict()
    memory.load_state_dict({})
    with pytest.raises(ValueError, match="mee/d has the shape"):
        new_memory(recipe_of(LossSection(mee_entropy=1.0, mee_buffer=6))).load_state_dict(saved)
    assert Memory().state_dict() == {}
