"""Whether a device computes right: right results, wrong ones and failures, with the CPU in the place of a GPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from swincli.console import Console
from swincli.diagnosis import device_check
from swincli.diagnosis.device_check import CPU, Results, check_device, compare, step_results
from swincli.diagnosis.report import machine_report, render_lines

QUIET = Console(quiet=True)
GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def right() -> Results:
    """What the CPU computes."""
    return step_results(CPU)


def check_with(monkeypatch: pytest.MonkeyPatch, right: Results, on_device: Callable[[], Results]):
    monkeypatch.setattr(device_check, "step_results", lambda device: right if device == CPU else on_device())
    return check_device(GPU, QUIET)


def test_a_device_that_computes_as_the_cpu_does(monkeypatch: pytest.MonkeyPatch, right: Results) -> None:
    assert set(right) == {
        "images of G", "logits of D", "gradient of D", "gradient of R1", "gradient of G", "Adam"
    }  # fmt: skip
    assert right["Adam"].item() == pytest.approx(1, abs=1e-3)
    assert all(value.norm() > 0 for value in right.values())
    rounded = {name: value * (1 + 1e-6) for name, value in right.items()}
    check = check_with(monkeypatch, right, lambda: rounded)
    assert check.findings() == []
    assert check.summary == "computes a forward and a step as the CPU does; largest difference 1.0e-06"
    assert check.to_dict()["right"]


def test_a_wrong_operation_is_found(monkeypatch: pytest.MonkeyPatch, right: Results) -> None:
    """As the convolution with weights that are not contiguous was wrong on Apple's GPUs."""
    from swincli.ops import fir

    upsample = fir.upsample
    monkeypatch.setattr(fir, "upsample", lambda image: upsample(image).roll(1, 2))
    names = [each.name for each in compare(right, step_results(CPU)) if not each.is_right]
    assert "images of G" in names
    assert "gradient of G" in names
    assert "logits of D" not in names


def test_wrong_and_infinite_results_are_errors(monkeypatch: pytest.MonkeyPatch, right: Results, here) -> None:
    wrong = right | {"gradient of D": 1.1 * right["gradient of D"], "logits of D": right["logits of D"] * float("nan")}
    check = check_with(monkeypatch, right, lambda: wrong)
    (finding,) = check.findings()
    assert finding.severity == "error"
    assert finding.message.startswith("cuda computes wrong results")
    assert "gradient of D 1.0e-01" in finding.message
    assert "logits of D nan" in finding.message
    report = render_lines(machine_report(here, [finding], check))
    assert any("cuda computes otherwise than the CPU: logits of D, gradient of D" in line for line in report)


def test_a_device_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, right: Results) -> None:
    def fail() -> Results:
        raise NotImplementedError("the operator is not implemented for MPS\nmore")

    (finding,) = check_with(monkeypatch, right, fail).findings()
    assert finding.message == "cuda cannot run the networks: the operator is not implemented for MPS"
