"""What native libraries print is dropped inside a block; what Python prints is not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from swincli.system.native_stderr import keep_own_stderr, silent_libraries

PROBE = """
import os, sys
from swincli.system.native_stderr import keep_own_stderr, silent_libraries
keep_own_stderr()
print("before", file=sys.stderr)
with silent_libraries():
    os.write(2, b"native\\n")
    print("inside ä", file=sys.stderr)
os.write(2, b"after\\n")
print("end")
"""


def test_native_lines_are_dropped_inside_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with silent_libraries(), silent_libraries():
        os.write(2, b"one\n")
    os.write(2, b"two\n")
    assert capfd.readouterr().err == "two\n"


def test_threads_share_the_silence(capfd: pytest.CaptureFixture[str]) -> None:
    first_left, second_in = threading.Event(), threading.Event()

    def second() -> None:
        with silent_libraries():
            second_in.set()
            first_left.wait(10)
            os.write(2, b"native\n")

    thread = threading.Thread(target=second)
    with silent_libraries():
        thread.start()
        second_in.wait(10)
    first_left.set()
    thread.join()
    os.write(2, b"own\n")
    assert capfd.readouterr().err == "own\n"


def test_python_keeps_its_own_lines() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=True)
    assert done.stderr.decode().splitlines() == ["before", "inside ä", "after"]
    assert done.stdout.decode().strip() == "end"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
def test_a_closed_stderr_is_no_error() -> None:
    module = "swincli.system.native_stderr"
    probe = f"import {module} as m; m.keep_own_stderr()\nwith m.silent_libraries(): print(1)"
    done = subprocess.run(["sh", "-c", f"{sys.executable} -c '{probe}' 2>&-"], stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().strip() == "1"


def test_the_stream_of_a_notebook_stays(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stderr
    keep_own_stderr()
    assert sys.stderr is before
    assert not capsys.readouterr().err
