"""Many tensors in one buffer, as they go to a GPU, and values that are read later."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.system.device_copy import HostCopy, send, send_packed

CPU, META, MPS = torch.device("cpu"), torch.device("meta"), torch.device("mps")


@dataclass(frozen=True)
class Both:
    count: int
    values: Tensor | None


TREE = (
    torch.arange(3),
    {"of bits": torch.tensor([True, False, True]), "nothing": None},
    [Both(2, torch.rand(2, 3, dtype=torch.float64)), Both(0, None)],
    torch.zeros(0, 4),
    torch.tensor(0.5),
    torch.rand(1).expand(5),
)


def test_a_buffer_holds_every_tensor_bit_for_bit() -> None:
    sent = send_packed(TREE, CPU)
    assert torch.equal(sent[0], TREE[0])
    assert torch.equal(sent[1]["of bits"], TREE[1]["of bits"])
    assert sent[1]["nothing"] is None
    assert sent[2][0].count == 2
    assert torch.equal(sent[2][0].values, TREE[2][0].values)
    assert [(value.shape, value.dtype) for value in sent[3:]] == [(value.shape, value.dtype) for value in TREE[3:]]
    assert torch.equal(sent[5], TREE[5])
    places = {value.untyped_storage().data_ptr() for value in (sent[0], sent[1]["of bits"], sent[2][0].values, sent[4])}
    assert len(places) == 1


def test_what_is_there_stays() -> None:
    there = torch.ones(2, device=META)
    sent = send((there, torch.ones(3)), META)
    assert sent[0] is there
    assert sent[1].device == META
    assert send(TREE, CPU) is TREE


def test_values_are_read_when_they_are_asked_for() -> None:
    values = torch.tensor([1.5, 2.0])
    assert HostCopy(values).get().tolist() == [1.5, 2.0]
