"""Bitwise comparison of two run folders, without times and memory figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from swincli.training.run.state import read_state


def files(run: Path) -> list[str]:
    return sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())


def lines(log: Path) -> list[dict[str, Any]]:
    """The lines of a log without times and memory figures."""
    kept = []
    for line in log.read_text().splitlines():
        values = json.loads(line)
        kept.append(
            {key: value for key, value in values.items() if key != "time" and not key.startswith(("sec", "mem"))}
        )
    return kept


def without_clock(value: Any) -> Any:
    """Content of a state with tensors as bytes and without seconds."""
    if isinstance(value, dict):
        return {key: without_clock(item) for key, item in value.items() if key != "seconds"}
    if isinstance(value, list | tuple):
        return [without_clock(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    return value


def assert_same_run(run: Path, unbroken: Path) -> None:
    """Both runs have the same files with the same content, bit for bit."""
    assert files(run) == files(unbroken)
    for name in files(unbroken):
        if name.endswith(".pt"):
            assert without_clock(read_state(run / name)) == without_clock(read_state(unbroken / name)), name
        elif name.endswith(".jsonl"):
            assert lines(run / name) == [{**line, **_moved(line, run, unbroken)} for line in lines(unbroken / name)], (
                name
            )
        elif name != "environment.txt":  # it has the date
            assert (run / name).read_bytes() == (unbroken / name).read_bytes(), name


def _moved(line: dict[str, Any], run: Path, unbroken: Path) -> dict[str, Any]:
    """The protocol of an evaluation with the path of the other run."""
    if "protocol" not in line:
        return {}
    return {"protocol": json.loads(json.dumps(line["protocol"]).replace(str(unbroken), str(run)))}
