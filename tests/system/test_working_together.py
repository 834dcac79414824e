"""Shared work of several processes: shards, collectives, progress and failures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchrun import torchrun

from swincli.console import Advance
from swincli.errors import DataError
from swincli.system.distributed import Processes

SCRIPT = Path(__file__).with_name("working_together.py")


@given(st.integers(0, 5000), st.integers(1, 70), st.integers(1, 9))
def test_shares_follow_one_another_in_whole_groups(count: int, together: int, world: int) -> None:
    shares = [Processes(rank, world).shard(count, together) for rank in range(world)]
    assert [item for share in shares for item in share] == list(range(count))
    groups = [-(-len(share) // together) for share in shares]
    assert max(groups) - min(groups) <= 1
    assert all(share.start % together == 0 for share in shares if share)


def test_batches_of_powers_of_two_are_the_same_ones_in_every_share() -> None:
    starts = [start for rank in range(3) for start in Processes(rank, 3).shard(1000)[::16]]
    assert starts == list(range(0, 1000, 16))


def test_one_process_alone_agrees_with_itself() -> None:
    told: list[int] = []

    def work(advance: Advance) -> str:
        advance(3)
        return "done"

    assert Processes().run_on_all(work, told.append) == "done"
    assert told == [3]
    assert Processes().main_first(lambda: 4) == 4
    assert Processes().gather(5) == Processes().all_gather(5) == [5]

    def fail(_: Advance) -> None:
        raise DataError("damaged", "Mend it.")

    with pytest.raises(DataError, match="damaged"):
        Processes().run_on_all(fail)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """The results of each of three processes."""
    folder = tmp_path_factory.mktemp("together")
    done = torchrun(SCRIPT, folder, processes=3)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(3)]


@pytest.mark.slow
def test_the_main_process_goes_first_and_gathers(told: list[dict[str, object]]) -> None:
    assert [one["found"] for one in told] == ["made by 0"] * 3
    assert [one["gathered"] for one in told] == [["a0", "a1", "a2"], [], []]
    assert [one["all_gather"] for one in told] == [[0, 10, 20]] * 3


@pytest.mark.slow
def test_a_tree_of_tensors_is_the_main_process_s_on_every_rank(told: list[dict[str, object]]) -> None:
    assert told[0]["tree"] == told[1]["tree"] == told[2]["tree"]
    assert "[[0, 3], [1, 4], [2, 5]], 'torch.int64'" in str(told[2]["tree"])


@pytest.mark.slow
def test_progress_is_that_of_all(told: list[dict[str, object]]) -> None:
    assert sum(told[0]["advances"]) == 10 + 11 + 12
    assert [one["value"] for one in told] == [10, 11, 12]


@pytest.mark.slow
def test_a_failure_on_any_rank_ends_all_and_is_reported_by_the_main_process(told: list[dict[str, object]]) -> None:
    for name, words in (("failed", ["DataError", "damaged", "Mend it."]), ("missing", ["DataError", "damaged", None])):
        assert told[0][name][1:] == words[1:]
        assert [one[name][0] for one in told[1:]] == ["PeerFailedError"] * 2
    assert told[0]["bug"] == ["SwincliError", "rank 1: ZeroDivisionError: division by zero", None]
    assert told[0]["own"] == ["DataError", "of the main process", None]
    assert max(one["steps before the end"] for one in told) < 10_000  # the others stop soon
    assert [one["sum"] for one in told] == [3.0] * 3  # and they still work together
