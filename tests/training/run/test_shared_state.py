"""What several ranks send at the start of a session: nothing for a fresh run, unless their weights differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.system.distributed import Processes
from swincli.training.run import shared_state
from swincli.training.run.shared_state import copy_in_memory, share_state, weights_checksum
from swincli.training.run.state import TrainingState, build_state, state_content

CPU = torch.device("cpu")


class Second(Processes):
    """Rank 1 of 2, where rank 0's checksum is given."""

    def __init__(self, checksum_of_main: int) -> None:
        super().__init__(1, 2)
        object.__setattr__(self, "checksum_of_main", checksum_of_main)

    def all_gather(self, value: Any) -> list[Any]:
        return [self.checksum_of_main, value]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def state(tiny_recipe: Callable[..., Recipe], store: Store) -> TrainingState:
    return build_state(tiny_recipe("train.seed=1"), store.content_hash, CPU)


def test_the_checksum_is_that_of_every_weight(state: TrainingState) -> None:
    before = weights_checksum(state)
    bias = next(value for name, value in state.discriminator.state_dict().items() if name.endswith("bias"))
    bias[0] += 1e-6
    assert weights_checksum(state) != before
    bias[0] -= 1e-6
    assert weights_checksum(state) == before


@pytest.mark.parametrize(("fresh", "equal", "sent"), [(True, True, False), (True, False, True), (False, True, True)])
def test_a_state_is_sent_only_if_ranks_may_differ(
    tiny_recipe: Callable[..., Recipe],
    store: Store,
    state: TrainingState,
    monkeypatch: pytest.MonkeyPatch,
    fresh: bool,
    equal: bool,
    sent: bool,
) -> None:
    own = build_state(tiny_recipe("train.seed=2"), store.content_hash, CPU)
    monkeypatch.setattr(shared_state, "broadcast", lambda *_: state_content(state))
    processes = Second(weights_checksum(own if equal else state))
    share_state(own, CPU, processes, fresh=fresh)
    assert (weights_checksum(own) == weights_checksum(state)) == sent


def test_a_copy_in_memory_does_not_change_with_the_state(state: TrainingState) -> None:
    kept, weight = copy_in_memory(state), next(iter(state.generator.state_dict().values()))
    before = weight.clone()
    weight.add_(1)
    assert torch.equal(next(iter(kept["generator"].values())), before)
    weight.copy_(before)
