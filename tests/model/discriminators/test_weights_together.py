"""All weights of a discriminator computed together, as GPUs do it: the values, gradients and vectors of one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from loss_switches import COMBINED, Steps, keys_of
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from swincli.data.store.reader import Store
from swincli.model.blocks import kernels
from swincli.model.discriminators.registry import make_discriminator
from swincli.ops.spectral_norm import spectral_weights
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.training.losses.networks import Networks

WIDTHS = [16, 8, 16, 8]
MakeRecipe = Callable[..., Recipe]
every_kind = pytest.mark.parametrize("kind", ["wavelet", "plain", "patch"])


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Choose whether weights are computed together on the CPU too."""
    return lambda together: monkeypatch.setattr(kernels, "compute_together", lambda device: together)  # noqa: ARG005


def make(kind: str, *, spectral: bool = True) -> nn.Module:
    """The same network each time, in float64."""
    torch.manual_seed(0)
    return make_discriminator(
        ModelSection(size=32, d_channels=WIDTHS, discriminator=kind, spectral_norm=spectral)
    ).double()


def images() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@every_kind
@pytest.mark.parametrize(("spectral", "recompute_from"), [(True, None), (False, None), (True, 8)])
def test_r1_and_the_logits_have_the_gradients_of_one_by_one(
    kind: str, spectral: bool, recompute_from: int | None, compute: Callable[[bool], None]
) -> None:
    results = []
    for together in (False, True):
        compute(together)
        network, real = make(kind, spectral=spectral), images().requires_grad_()
        network.recompute_from = recompute_from  # type: ignore[assignment]
        first = network(real)
        second = network(real.flip(0))  # the vectors have moved before the first backward
        (slope,) = torch.autograd.grad(first.sum(), real, create_graph=True)
        (slope.square().sum() + second.square().sum()).backward()
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        results.append((first.detach(), second.detach(), gradients, network.state_dict()))
        assert all(getattr(module, "prepared", None) is None for module in network.modules())
    torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-13)
    assert results[1][3].keys() == results[0][3].keys()


def test_some_frozen_weights_and_frozen_vectors(compute: Callable[[bool], None]) -> None:
    results = []
    for together in (False, True):
        compute(together)
        network = make("wavelet")
        network.trunk[0].requires_grad_(False)  # type: ignore[union-attr, index]
        before = {name: vector.clone() for name, vector in network.named_buffers()}
        networks = Networks(nn.Identity(), network)
        with networks.frozen_vectors():
            loss = networks.judge(images(), None).sum()
        torch.testing.assert_close(dict(network.named_buffers()), before, rtol=0, atol=0)
        network.trunk[1].eval()  # type: ignore[union-attr, index, operator]
        (loss + network(images()).sum()).backward()
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        results.append((gradients, dict(network.named_buffers())))
    torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("move", [True, False])
def test_gradients_by_differences(move: bool) -> None:
    torch.manual_seed(0)
    weights = [
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 2, 2, 2), (1, 4), (1, 4), (5, 3))
    ]
    us = [torch.randn(len(weight), dtype=torch.float64) for weight in weights]
    vs = [torch.randn(weight[0].numel(), dtype=torch.float64) for weight in weights]
    gains = [1.5, 1.0, 2.0, 1.0]
    fixed = spectral_weights(weights, us, vs, gains, move=move)[1:]

    def divided(*values: Tensor) -> tuple[Tensor, ...]:
        return tuple(spectral_weights(values, *fixed, gains, move=False)[0])

    assert torch.autograd.gradcheck(divided, weights)
    assert torch.autograd.gradgradcheck(divided, weights)


@pytest.mark.slow
@pytest.mark.parametrize("switches", COMBINED)
def test_every_switch_trains_the_same(
    tiny_recipe: MakeRecipe, store: Store, switches: tuple[str, ...], compute: Callable[[bool], None]
) -> None:
    _compare_steps(tiny_recipe, store, (*keys_of(switches), "train.batch=8"), compute)


@pytest.mark.slow
def test_micro_batches_train_the_same(tiny_recipe: MakeRecipe, store: Store, compute: Callable[[bool], None]) -> None:
    _compare_steps(tiny_recipe, store, ("loss.bcr_real=1", "train.batch=8", "run.micro_batch=4"), compute)


def _compare_steps(
    tiny_recipe: MakeRecipe, store: Store, keys: tuple[str, ...], compute: Callable[[bool], None]
) -> None:
    results = []
    for together in (False, True):
        compute(together)
        steps = Steps(tiny_recipe(*keys, "loss.r1_interval=2"), store, double=True)
        results.append((steps.run(2), steps.tensors()))
    torch.testing.assert_close(results[1], results[0], rtol=1e-7, atol=1e-9, equal_nan=True)


class _Launches(TorchDispatchMode):
    """Counts operations that are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if not func.is_view and "empty" not in str(func):
            self.counted[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_a_gpu_needs_few_launches() -> None:
    """On the meta device, which counts as one. One by one, forward and backward take 13 and 11 for each weight."""
    with torch.device("meta"):
        network: Any = make_discriminator(ModelSection(size=256, g_multiplier=2))
    kernels, counts = network.kernels, []
    assert len(kernels.spectral) == 19
    for backward in (False, False, True):  # the first fills the caches of constants
        with _Launches() as launches, kernels.prepared():
            weights = [module.prepared for module in kernels.spectral]
            if backward:
                torch.autograd.backward(weights, weights)
        counts.append(launches.counted.total())
    assert counts[1] <= 73
    assert counts[2] - counts[1] <= 62
