"""The benchmark of hybrid generators runs and prints its figures. The times themselves are not checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_the_rows_and_their_json(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "mixers.py"), "--tiny", "--repeats", "1"]
    done = subprocess.run([*command, "--json", str(tmp_path / "all.json")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "all.json").read_text())["rows"]
    assert rows.keys() == {"sampling-1024", "step-1024", "sampling-256"}
    for name, figures in rows.items():
        assert figures["least"] <= figures["faster"] <= figures["most"]
        assert f"{name:<15} {figures['faster']:.2f} times" in done.stdout
        assert all(value > 0 for value in figures.values())
