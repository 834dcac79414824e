"""Shared work with failures on some ranks; run by torchrun for test_working_together.py."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from swincli.console import Advance
from swincli.errors import DataError, SwincliError
from swincli.system.broadcast import broadcast
from swincli.system.device_copy import map_tensors
from swincli.system.distributed import Processes, init_distributed


def caught(work: Callable[[], object]) -> list[str | None]:
    try:
        work()
    except SwincliError as error:
        return [type(error).__name__, error.message, error.hint]
    return ["nothing", None, None]


TREE = {"values": [torch.arange(6).view(2, 3).t(), torch.tensor(0.5)], 3: {"bits": torch.tensor([True, False])}, "n": 7}


def plain(tree: Any) -> Any:
    return str(map_tensors(tree, lambda value: (value.tolist(), str(value.dtype))))


def find(folder: Path, processes: Processes) -> str:
    path = folder / "found"
    if not path.exists():
        path.write_text(f"made by {processes.rank}")
    return path.read_text()


def tell(folder: Path, processes: Processes) -> dict[str, Any]:
    advances: list[int] = []
    steps = 0

    def count(advance: Advance) -> int:
        for _ in range(10 + processes.rank):
            advance()
        return 10 + processes.rank

    def fail_in_the_second(advance: Advance) -> None:
        nonlocal steps
        for steps in range(10_000):
            if processes.rank == 1 and steps == 5:
                raise DataError("damaged", "Mend it.")
            advance()
            time.sleep(0.001)

    def miss(_: Advance) -> None:
        if processes.rank == 2:
            raise DataError("damaged")

    def divide(_: Advance) -> float:
        return 1 / (processes.rank - 1)

    def fail_everywhere(_: Advance) -> None:
        raise DataError("of the main process" if processes.is_main else "of another")

    return {
        "found": processes.main_first(lambda: find(folder, processes)),
        "value": processes.run_on_all(count, advances.append),
        "advances": advances,
        "gathered": processes.gather(f"a{processes.rank}"),
        "all_gather": processes.all_gather(10 * processes.rank),
        "failed": caught(lambda: processes.run_on_all(fail_in_the_second)),
        "missing": caught(lambda: processes.run_on_all(miss)),
        "bug": caught(lambda: processes.run_on_all(divide)),
        "own": caught(lambda: processes.run_on_all(fail_everywhere)),
        "steps before the end": steps,
        "tree": plain(broadcast(TREE if processes.is_main else None, torch.device("cpu"), processes)),
        "sum": 3 * processes.mean({"one": 1.0})["one"],
    }


if __name__ == "__main__":
    with init_distributed(torch.device("cpu")) as processes:
        told = tell(Path(sys.argv[1]), processes)
        (Path(sys.argv[1]) / f"{processes.rank}.json").write_text(json.dumps(told))
