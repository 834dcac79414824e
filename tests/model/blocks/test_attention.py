"""Window attention against a plain twin that masks a full attention matrix, pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swincli.model.blocks import attention as attention_blocks
from swincli.model.blocks.attention import GroupedAttention, WindowAttention, describe_attention, relative_index
from swincli.ops.window_attention import window_attention
from swincli.ops.windows import edge_masks
from swincli.recipe.schema import ModelSection


def plain_weights(module: WindowAttention, q: Tensor, k: Tensor, height: int, width: int) -> Tensor:
    """Weights `[B, h, H W, H W]` over all pixels; pixels outside the (shifted) window are masked."""
    side, shift = module.side, module.shift
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    y, x = y.flatten(), x.flatten()
    row, column = (y - shift) // side, (x - shift) // side  # windows cut by the border stay cut: no wrap-around
    together = (row[:, None] == row[None]) & (column[:, None] == column[None])
    dy, dx = y[:, None] - y[None], x[:, None] - x[None]
    inside = (dy.abs() < side) & (dx.abs() < side)
    index = ((dy + side - 1) * (2 * side - 1) + dx + side - 1).where(inside, torch.tensor(0))
    logits = q @ k.transpose(-1, -2) * module.head_dim**-0.5
    if module.position_bias is not None:
        logits = logits + module.position_bias[index].permute(2, 0, 1)
    return logits.masked_fill(~together, float("-inf")).softmax(dim=-1)


def plain_window_attention(module: WindowAttention, qkv: Tensor) -> Tensor:
    """Attention over all pixels; pixels outside the (shifted) window are masked."""
    batch, height, width, _, heads, dim = qkv.shape
    q, k, v = qkv.reshape(batch, height * width, 3, heads, dim).permute(2, 0, 3, 1, 4)
    weights = plain_weights(module, q, k, height, width)
    return (weights @ v).transpose(1, 2).reshape(batch, height, width, heads * dim)


@pytest.mark.parametrize(
    ("height", "width", "side", "shift"), [(8, 8, 4, 0), (8, 8, 4, 2), (12, 16, 4, 2), (8, 8, 8, 0)]
)
def test_window_attention_is_the_plain_one(height: int, width: int, side: int, shift: int) -> None:
    torch.manual_seed(0)
    module = WindowAttention(heads=2, head_dim=3, side=side, shift=shift).double()
    torch.nn.init.normal_(module.position_bias)
    qkv = torch.randn(2, height, width, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    out = window_attention(qkv.unsqueeze(4), [module.grid], [module.bias()])
    twin = plain_window_attention(module, qkv)
    torch.testing.assert_close(out, twin, rtol=1e-10, atol=1e-10)
    weight = torch.randn_like(out)
    inputs = (qkv, module.position_bias)
    gradients = (torch.autograd.grad((result * weight).sum(), inputs) for result in (out, twin))
    for got, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("height", "width", "side", "shift"), [(8, 8, 4, 0), (8, 12, 4, 2), (4, 4, 4, 0)])
def test_weights_of_every_position_are_the_plain_ones(height: int, width: int, side: int, shift: int) -> None:
    torch.manual_seed(0)
    module = WindowAttention(heads=2, head_dim=3, side=side, shift=shift).double()
    torch.nn.init.normal_(module.position_bias)
    qkv = torch.randn(2, height, width, 3, 2, 3, dtype=torch.float64)
    q, k, _ = qkv.reshape(2, height * width, 3, 2, 3).permute(2, 0, 3, 1, 4)
    twin = plain_weights(module, q, k, height, width).view(2, 2, height, width, height, width)
    for row in range(height):
        for column in range(width):
            weights = module.weights_of(qkv, row, column)
            torch.testing.assert_close(weights, twin[:, :, row, column], rtol=1e-10, atol=1e-12)
            assert torch.equal(weights == 0, twin[:, :, row, column] == 0)  # nothing outside the window
            torch.testing.assert_close(weights.sum(dim=(2, 3)), torch.ones(2, 2, dtype=torch.float64))


def test_only_the_second_half_is_shifted_and_nothing_is_at_full_attention() -> None:
    shifts = [group.shift for group in GroupedAttention(16, 4, side=8, resolution=16).head_groups]
    assert shifts == [0, 4]
    assert [group.shift for group in GroupedAttention(16, 4, side=8, resolution=8).head_groups] == [0, 0]


def test_halves_do_not_mix_before_the_projection() -> None:
    torch.manual_seed(0)
    attention = GroupedAttention(16, 4, side=4, resolution=8)
    torch.nn.init.eye_(attention.proj.weight)
    x = torch.randn(1, 8, 8, 16)
    before = attention(x)
    with torch.no_grad():
        attention.qkv.weight[8:16] += 1.0  # rows of q that belong to the second half
    after = attention(x)
    assert torch.equal(before[..., :8], after[..., :8])
    assert not torch.allclose(before[..., 8:], after[..., 8:])


def test_relative_index_is_swins() -> None:
    index = relative_index(2)
    assert index.tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


def test_tables_do_not_grow_with_the_image() -> None:
    assert edge_masks(8).nbytes + relative_index(8).nbytes < 2**20
    names = dict(GroupedAttention(32, 4, side=8, resolution=1024).named_buffers())
    assert names == {}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ((), "fused attention, which agrees with the plain way"),
        ((4,), "plain attention for heads of 4: the fused kernel fails its self-test"),
        ((4, 8, 16, 32), "plain attention for all heads: the fused kernel fails its self-test"),
    ],
)
def test_the_way_of_attention_is_named_on_cuda(
    monkeypatch: pytest.MonkeyPatch, wrong: tuple[int, ...], words: str
) -> None:
    config, asked = ModelSection(size=1024, g_multiplier=1), set()

    def is_right(device: torch.device, dtype: torch.dtype, dim: int, side: int) -> bool:
        asked.add((str(device), dtype, side))
        return dim not in wrong

    monkeypatch.setattr(attention_blocks, "kernel_is_right", is_right)
    assert describe_attention(config, torch.device("cuda"), torch.bfloat16) == words
    assert asked == {("cuda", torch.bfloat16, 4), ("cuda", torch.bfloat16, 8)}
    assert describe_attention(config, torch.device("cpu"), torch.float32) == ""
    masked = ModelSection(score_mask="gaussian")
    plain = 'plain attention: model.score_mask = "gaussian" multiplies the logits'
    assert describe_attention(masked, torch.device("cuda"), torch.bfloat16) == plain


def test_the_gradient_of_a_bias_without_a_sort_is_the_embeddings() -> None:
    tables = torch.randn(2, 49, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    plain = torch.stack([table[relative_index(4)].permute(2, 0, 1) for table in tables])
    fast = attention_blocks.stacked_bias(tables, 4)
    assert torch.equal(fast, plain)
    expected, found = (torch.autograd.grad((bias * weight).sum(), tables)[0] for bias in (plain, fast))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
