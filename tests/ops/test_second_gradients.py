"""Operations with a fast gradient of their own on a CPU can be differentiated twice, as path length needs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from swincli.ops import cpu_tiles
from swincli.ops.instance_norm import instance_norm
from swincli.ops.mlp import mlp
from swincli.ops.second_gradients import plain_gradients
from swincli.ops.window_attention import window_attention
from swincli.ops.windows import WindowGrid

GRIDS = (WindowGrid(4, 0), WindowGrid(4, 2))
Operation = Callable[..., Tensor]
OPERATIONS: dict[str, tuple[Operation, tuple[tuple[int, ...], ...]]] = {  # operation, shapes of its inputs
    "instance norm": (instance_norm, ((2, 4, 4, 3), (2, 1, 1, 3), (2, 1, 1, 3))),
    "mlp": (mlp, ((2, 4, 4, 3), (6, 3), (6,), (4, 6), (4,))),
    "window attention": (
        lambda qkv, *biases: window_attention(qkv, GRIDS, biases),
        ((1, 8, 8, 3, 2, 1, 2), (1, 16, 16), (1, 16, 16)),
    ),
}


def plain_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, None, None]:
    variance, mean = torch.var_mean(x, dim=(1, 2), correction=0, keepdim=True)
    return gamma * (x - mean) / torch.sqrt(variance + 1e-5) + beta, None, None


def inputs_of(name: str) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=random, dtype=torch.float64) for shape in OPERATIONS[name][1]]


GPU_PATH = "as on a GPU"
PATHS = ("tiles", GPU_PATH)


def path(name: str) -> contextlib.AbstractContextManager[None]:
    """A way in which the operations run: in tiles, as large maps on a CPU do, or as on a GPU."""
    return cpu_tiles.as_on_a_gpu() if name == GPU_PATH else contextlib.nullcontext()


def second_gradients(operation: Operation, inputs: list[Tensor], trained: int) -> list[Tensor]:
    """Gradients of the squared gradients of a nonlinear function of the operation, of the inputs from `trained` on."""
    leaves = [value.clone().requires_grad_(number >= trained) for number, value in enumerate(inputs)]
    asked = [leaf for leaf in leaves if leaf.requires_grad]
    first = torch.autograd.grad(operation(*leaves).tanh().square().sum(), asked, create_graph=True)
    length = torch.stack([gradient.square().sum() for gradient in first]).sum()
    return list(torch.autograd.grad(length, asked, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("way", PATHS)
@pytest.mark.parametrize("trained", [0, 1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_second_gradients_are_those_of_the_plain_operation(
    monkeypatch: pytest.MonkeyPatch, name: str, trained: int, way: str
) -> None:
    operation, inputs = OPERATIONS[name][0], inputs_of(name)
    with monkeypatch.context() as patch, path(way):
        patch.setattr(cpu_tiles, "LARGE_BYTES", 0)
        fast = second_gradients(operation, inputs, trained)
    with monkeypatch.context() as patch:
        for module in ("instance_norm", "mlp", "window_attention"):
            for rule in ("use_tiles", "use_tiles_with_grad", "use_tiles_without_grad", "save_less"):
                patch.setattr(f"swincli.ops.{module}.{rule}", lambda _: False, raising=False)
        patch.setattr("swincli.ops.instance_norm._InstanceNorm.apply", plain_norm)
        plain = second_gradients(operation, inputs, trained)
    for one, other in zip(fast, plain, strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("way", PATHS)
def test_parts_of_one_tensor_do_not_make_earlier_operations_run_again(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Each operation takes its gamma and beta from one tensor; the work grows with their number, and not as 2 to it."""
    runs = 0

    def counted(plain: Operation, inputs: Sequence[Tensor | None], grad: Tensor) -> tuple[Tensor | None, ...]:
        nonlocal runs
        runs += 1
        return plain_gradients(plain, inputs, grad)

    monkeypatch.setattr("swincli.ops.second_gradients.plain_gradients", counted)
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    random = torch.Generator().manual_seed(0)
    x, styles = (torch.randn(size, generator=random).requires_grad_() for size in ((2, 4, 4, 3), (2, 1, 1, 36)))
    with path(way):
        out, parts = x, styles.split(3, dim=-1)
        for gamma, beta in zip(parts[:6], parts[6:], strict=True):
            out = instance_norm(out, gamma, beta)
        torch.autograd.grad(out.tanh().square().sum(), styles, create_graph=True)
    assert runs == 6


@pytest.mark.parametrize("way", PATHS)
def test_finite_differences_agree(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    x, gamma, beta = (value.requires_grad_() for value in inputs_of("instance norm"))
    with path(way):
        assert torch.autograd.gradcheck(instance_norm, (x, gamma, beta), atol=1e-5)
        assert torch.autograd.gradgradcheck(instance_norm, (x, gamma, beta), atol=1e-4)
