"""The main process works alone for longer than a collective may take; run by torchrun for test_restarts.py."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

import torch

from swincli.system import distributed
from swincli.system.distributed import init_distributed


def slow() -> str:
    time.sleep(2.0)
    return "done"


def main() -> None:
    with init_distributed(torch.device("cpu")) as processes:
        Path(sys.argv[1], f"rank-{processes.rank}").write_text(processes.from_main(slow))


if __name__ == "__main__":
    plain = distributed.dist.init_process_group

    def hurried(*arguments: object, **options: object) -> None:
        plain(*arguments, **{**options, "timeout": timedelta(seconds=1)})  # type: ignore[arg-type]

    distributed.dist.init_process_group = hurried
    main()
