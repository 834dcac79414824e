"""The networks and the training step against vectors computed with the original release.

The vectors are beside a checkout, in ../shared/parity; without them these tests are skipped. docs/parity.md lists the
measured errors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from parity_case import ParityCase
from shared_material import PARITY

from swincli.model.files.official import discriminator_names, generator_names
from swincli.recipe.schema import Recipe
from swincli.synthesis.latents.truncation import truncate
from swincli.training.losses.batch import Batch
from swincli.training.step.optimizers import make_optimizers
from swincli.training.step.phases import make_phases

pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason="the parity vectors (../shared/parity) are not here")


@pytest.fixture(autouse=True)
def without_denormals() -> Iterator[None]:
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


def error(what: str, got: torch.Tensor, expected: NDArray[Any]) -> float:
    """Relative error ‖a − b‖ / ‖b‖; `pytest -s` prints it."""
    wanted = torch.from_numpy(np.asarray(expected)).double()
    relative = float((got.double().reshape(wanted.shape) - wanted).norm() / wanted.norm())
    sys.stdout.write(f"{what}: {relative:.1e}\n")
    return relative


def check_generator(case: ParityCase, dtype: torch.dtype, suffix: str, tolerance: float) -> None:
    generator = case.generator(dtype)
    vectors = case.vectors
    where = f"at {case.config.size} in {dtype}"
    z = torch.from_numpy(vectors["z"]).to(dtype)
    w = generator.map(z)
    assert error(f"w {where}", w, vectors["w"]) < 2e-5
    image = generator.synthesise(generator.broadcast(w))
    assert error(f"image {where}", image, vectors[f"image{suffix}"]) < tolerance
    if not suffix:
        many = torch.from_numpy(np.random.RandomState(8).standard_normal((4096, 512))).to(dtype)
        center = generator.map(many).mean(dim=0)
        assert error(f"mean w {where}", center, vectors["w_mean"]) < tolerance
        truncated = generator.synthesise(generator.broadcast(truncate(w, center, 0.7)))
        assert error(f"truncated image {where}", truncated, vectors["image_trunc_0.7"]) < tolerance


def check_discriminator(case: ParityCase, dtype: torch.dtype, suffix: str, tolerance: float) -> None:
    discriminator = case.discriminator(dtype)
    x = case.images().to(dtype).requires_grad_()
    logits = discriminator(x)
    where = f"at {case.config.size} in {dtype}"
    assert error(f"logits {where}", logits.detach(), case.vectors[f"logits{suffix}"]) < tolerance
    (gradient,) = torch.autograd.grad(logits.sum(), x)
    penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
    assert error(f"R1 {where}", penalty, case.vectors["r1_penalty"]) < 1e-4


def test_generator_at_64_in_float32(parity_64: ParityCase) -> None:
    check_generator(parity_64, torch.float32, "", 2e-5)


@pytest.mark.slow
def test_generator_at_64_in_float64(parity_64: ParityCase) -> None:
    check_generator(parity_64, torch.float64, "_f64", 2e-6)


def test_discriminator_at_64_in_float32(parity_64: ParityCase) -> None:
    check_discriminator(parity_64, torch.float32, "", 2e-5)


@pytest.mark.slow
def test_discriminator_at_64_in_float64(parity_64: ParityCase) -> None:
    check_discriminator(parity_64, torch.float64, "_f64", 2e-6)


@pytest.mark.slow
def test_both_networks_at_256_in_float32() -> None:
    case = ParityCase(256)
    check_generator(case, torch.float32, "", 2e-5)
    check_discriminator(case, torch.float32, "", 2e-5)


@pytest.mark.slow
def test_a_whole_training_iteration_in_float64(parity_64: ParityCase) -> None:
    case, vectors = parity_64, parity_64.vectors
    generator, discriminator = case.generator(torch.float64), case.discriminator(torch.float64)
    recipe = Recipe(model=case.config)
    names = {
        **{f"g/{theirs}": generator.get_parameter(ours) for ours, theirs in generator_names(case.config).items()},
        **{
            f"d/{theirs}": discriminator.get_parameter(ours)
            for ours, theirs in discriminator_names(case.config).items()
            if not ours.endswith((".u", ".v"))
        },
    }
    before = {name: parameter.clone() for name, parameter in names.items()}
    latents = torch.from_numpy(vectors["train_z"]).double()
    batch = Batch(torch.from_numpy(vectors["x"]).double(), latents[0], latents[1])
    scalars: dict[str, torch.Tensor] = {}
    for network in (generator, discriminator):
        network.train()
    for phase in make_phases(generator, discriminator, *make_optimizers(generator, discriminator, recipe), recipe):
        scalars |= phase.run([batch])
    got = [scalars[key].item() for key in ("loss/d", "grad/d", "loss/r1", "loss/g", "grad/g")]
    for name, value, expected in zip(
        ("D", "|grad D|", "R1", "G", "|grad G|"), got, vectors["train_scalars_f64"], strict=True
    ):
        assert error(f"training {name}", torch.tensor(value, dtype=torch.float64), expected) < 1e-5
    assert set(vectors["train_delta_names"]) == set(names)
    moved = [float((names[str(name)] - before[str(name)]).norm()) for name in vectors["train_delta_names"]]
    worst = max(abs(a - b) / b for a, b in zip(moved, vectors["train_delta_norm_f64"].tolist(), strict=True))
    sys.stdout.write(f"training, the worst of {len(moved)} parameters' changes: {worst:.1e}\n")
    assert worst < 1e-3
