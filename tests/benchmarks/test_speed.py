"""The benchmark commands that time networks run and print their figures. The times themselves are not checked."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_matrix_rate_is_printed_kept_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured in this process; the slow test of the whole table starts one for each benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    speed, works = (importlib.import_module(name) for name in ("speed", "works"))

    def measure(name: str, repeats: int, *, tiny: bool) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["works.py", name, "--repeats", str(repeats), *(["--tiny"] if tiny else [])])
        works.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    monkeypatch.setattr(speed, "measure", measure)
    earlier, now = tmp_path / "earlier.json", tmp_path / "now.json"
    earlier.write_text(json.dumps({"works": {"gemm": {"gflops": 1.0}}}))
    arguments = ["--tiny", "--only", "gemm", "--repeats", "1", "--json", str(now), "--compare", str(earlier)]
    monkeypatch.setattr(sys, "argv", ["speed.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        speed.main()
    assert not ended.value.code
    said = capsys.readouterr().out
    result = json.loads(now.read_text())
    rate = result["works"]["gemm"]["gflops"]
    assert f"{rate:.0f} GFLOP/s" in said
    assert f"was 1 GFLOP/s ({rate:.2f}x)" in said
    assert result["machine"].keys() >= {"processor", "cores", "threads", "pytorch", "date"}


@pytest.mark.slow
def test_the_whole_table(tmp_path: Path) -> None:
    done = run("speed.py", "--tiny", "--repeats", "1", "--json", str(tmp_path / "all.json"))
    assert done.returncode == 0, done.stderr
    works = json.loads((tmp_path / "all.json").read_text())["works"]
    assert {"gemm", "generator-256", "step-64", "r1-64", "tables", "optimizer", "sample", "quickstart"} <= works.keys()
    assert all(value > 0 for figures in works.values() for value in figures.values())


@pytest.mark.slow
def test_the_profile_is_a_table_of_shares() -> None:
    done = run("profile_step.py", "--tiny", "--only", "step-64")
    assert done.returncode == 0, done.stderr
    shares = [float(line.split("|")[2].strip(" %")) for line in done.stdout.splitlines() if line.endswith("% |")]
    assert sum(shares) == pytest.approx(100, abs=1)
