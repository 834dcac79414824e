"""Limits of a process: errors that name the limit, in all commands."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from swincli.system import process_limits
from swincli.system.cgroup import process_limit
from swincli.system.process_limits import explain_limit

LIMITED = (
    "import resource; from swincli.commands.typer_command import boundary\n"
    "with boundary(json_mode=False, quiet=False, debug=False):\n    {body}\n"
)
MANY_FILES = "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); files = [open('/dev/null') for _ in range(30)]"
MUCH_MEMORY = "resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28)); bytes(2**30)"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("can't start new thread"), "start no more threads"),
        (MemoryError("Unable to allocate output buffer."), "memory ran out: Unable to allocate output buffer."),
        (MemoryError(), "memory ran out"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate"), "memory ran out"),
        (OSError(errno.EMFILE, "Too many open files", "a.png"), "open no more files (a.png)"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "start no more processes"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory ran out"),
    ],
)
def test_errors_of_limits_are_expected_ones(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "_soft_limit", lambda _: 2**31)
    explained = explain_limit(error)
    assert explained is not None
    assert message in explained.message
    assert "RLIMIT_" in str(explained.hint)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("shapes differ"), FileNotFoundError(2, "no", "a")])
def test_other_errors_are_left(error: Exception) -> None:
    assert explain_limit(error) is None


def test_the_memory_of_a_gpu_has_no_limit_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "_soft_limit", lambda _: 2**31)
    explained = explain_limit(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ..."))
    assert explained is not None
    assert explained.message == "memory ran out: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert "RLIMIT" not in str(explained.hint)


def test_there_is_a_hint_without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "_soft_limit", lambda _: None)
    monkeypatch.setattr(process_limits, "process_limit", lambda: 100)
    assert "allows 100 processes, in pids.max" in str(process_limits.threads_hint())
    explained = explain_limit(MemoryError())
    assert explained is not None
    assert "smaller batches" in str(explained.hint)


def test_the_limit_of_a_container(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/job/step\n")
    for folder, limit in (("job", "100"), ("job/step", "max")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pids.max").write_text(f"{limit}\n")
    assert process_limit(tmp_path, own) == 100


@pytest.mark.skipif(sys.platform != "linux", reason="sets Linux's limits")
@pytest.mark.parametrize(
    ("body", "name"), [(MANY_FILES, "RLIMIT_NOFILE is 20"), (MUCH_MEMORY, "RLIMIT_AS is 256.0 MiB")]
)
def test_a_real_limit_is_named(body: str, name: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", LIMITED.format(body=body)], capture_output=True, text=True, check=False
    )
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr.split("typer")[0].split("\n")[0]
    assert "unexpected" not in result.stderr
    assert name in result.stderr
