"""The running average against its formula."""

from __future__ import annotations

import copy

import torch
from torch import nn

from swincli.training.ema.ema import update_ema


def test_update_is_the_formula() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    average = copy.deepcopy(network)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    expected = [0.9 * a + 0.1 * n for a, n in zip(average.parameters(), network.parameters(), strict=True)]
    update_ema(average, network, 0.9)
    for got, wanted in zip(average.parameters(), expected, strict=True):
        torch.testing.assert_close(got, wanted)
