"""Shared work that fails in the first attempt and not in the second; run by torchrun for test_restarts.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from swincli.console import Advance
from swincli.errors import DataError
from swincli.system.distributed import init_distributed
from swincli.system.torchrun_env import restart_count

if __name__ == "__main__":
    with init_distributed(torch.device("cpu")) as processes:

        def work(advance: Advance) -> int:
            for _ in range(5):
                advance()
            if processes.rank == 1 and restart_count() == "0":
                raise DataError("damaged")
            return 5

        done = processes.run_on_all(work)
        (Path(sys.argv[1]) / f"{processes.rank}.json").write_text(json.dumps([restart_count(), done]))
