"""What a run says about precision before its first step."""

from __future__ import annotations

from swincli.recipe.schema import RunSection
from swincli.system.device_facts import DeviceFacts
from swincli.training.logging.report import describe_device

A100 = DeviceFacts("cuda", "A100", (8, 0), architectures=("sm_80",), cuda="13.0")


def test_the_precision_that_really_runs_is_announced() -> None:
    assert describe_device(RunSection(), DeviceFacts("cpu")) == ["cpu computes in float32"]
    (line,) = describe_device(RunSection(precision="gpu", tf32="auto"), A100)
    assert line.startswith("A100 (compute capability 8.0) computes in bfloat16 products")


def test_idle_units_and_a_card_unknown_to_the_build_are_announced() -> None:
    _, idle, hint = describe_device(RunSection(), A100)
    assert "its bf16 and TF32 units are idle" in idle
    assert "run.precision=gpu" in hint
    lines = describe_device(RunSection(), DeviceFacts("cuda", "P40", (6, 1), architectures=("sm_80",), cuda="13.0"))
    assert "no code for it" in lines[1]
    assert "cu126" in lines[2]
