"""Precision and builds of PyTorch, for cards that are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from swincli.errors import ResourceError
from swincli.system.device_facts import (
    DeviceFacts,
    build_mismatch,
    describe_precision,
    device_facts,
    idle_units,
    uses_bf16,
    uses_tf32,
)

BUILT = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100a", "sm_120", "compute_120")
CPU, AMX, MPS = DeviceFacts("cpu"), DeviceFacts("cpu", cpu_bf16=True), DeviceFacts("mps")
AMD = DeviceFacts("cuda", "Instinct", is_amd=True, architectures=("gfx942",))


def card(major: int, minor: int, architectures: tuple[str, ...] = BUILT) -> DeviceFacts:
    return DeviceFacts("cuda", "Card", (major, minor), architectures=architectures, cuda="12.8")


H100, T4 = card(9, 0), card(7, 5)


@pytest.mark.parametrize(
    ("precision", "with_it"),
    [("fp32", []), ("auto", [AMX, AMD, H100]), ("gpu", [AMD, H100])],
)
def test_which_devices_compute_in_bf16(precision: str, with_it: list[DeviceFacts]) -> None:
    assert [facts for facts in (CPU, AMX, MPS, AMD, H100, T4) if uses_bf16(precision, facts)] == with_it


def test_bf16_is_emulated_on_a_cpu_and_refused_on_gpus_without_it() -> None:
    assert uses_bf16("bf16", CPU)
    for facts in (MPS, T4):
        with pytest.raises(ResourceError, match=r"^run\.precision: bf16 is not supported on"):
            uses_bf16("bf16", facts)


def test_tf32_is_for_nvidias_cards_from_ampere_on() -> None:
    assert [facts for facts in (CPU, MPS, AMD, H100, T4) if uses_tf32("auto", facts)] == [H100]
    assert not uses_tf32(False, H100)


@pytest.mark.parametrize(
    ("precision", "tf32", "facts", "words"),
    [
        ("gpu", "auto", H100, "products of R1 in TF32"),
        ("gpu", False, H100, "products of R1 in float32"),
        ("fp32", "auto", H100, "float32 with products rounded to TF32"),
        ("gpu", "auto", T4, "float32"),
        ("gpu", "auto", CPU, "float32"),
        ("gpu", "auto", MPS, "float32"),
    ],
)
def test_the_precision_is_told_as_it_is(precision: str, tf32: bool | str, facts: DeviceFacts, words: str) -> None:
    assert describe_precision(precision, tf32, facts).endswith(words)


def test_idle_units_are_named() -> None:
    assert idle_units("fp32", False, H100) == (
        "run.precision: Card (compute capability 9.0) computes in exact float32, so its bf16 and TF32 units are idle"
    )
    assert "its bf16 units are idle" in idle_units("fp32", False, AMD)
    for precision, tf32, facts in (
        ("gpu", False, H100),
        ("fp32", True, H100),
        ("fp32", False, T4),
        ("fp32", False, AMX),
    ):
        assert idle_units(precision, tf32, facts) == ""


@pytest.mark.parametrize(
    ("facts", "wheel"),
    [
        (H100, None),
        (card(8, 9), None),  # code of 8.6 runs on it
        (card(12, 1), None),
        (card(13, 0), None),  # the driver compiles for it
        (card(10, 0), None),
        (card(10, 3), "cu130"),  # 10.0a is for 10.0 alone
        (card(12, 0, ("sm_80", "sm_90")), "cu130"),
        (card(6, 1), "cu126"),
        (card(7, 0), "cu126"),
        (card(9, 0, ()), None),
        (AMD, None),
        (CPU, None),
    ],
)
def test_a_card_that_the_build_does_not_know_is_named_with_the_wheel(facts: DeviceFacts, wheel: str | None) -> None:
    found = build_mismatch(card(10, 3, BUILT[:-2]) if facts.capability == (10, 3) else facts)
    assert (found is None) == (wheel is None)
    if found is not None:
        assert f"compute capability {facts.capability[0]}.{facts.capability[1]}): " in found[0]  # type: ignore[index]
        assert f"whl/{wheel} " in found[1]


def test_a_card_newer_than_cuda_13_needs_a_newer_pytorch() -> None:
    found = build_mismatch(replace(card(12, 0, ("sm_80", "sm_90")), cuda="13.0"))
    assert found is not None
    assert found[1].startswith("pip install --upgrade torch  (")


def test_facts_of_this_cpu() -> None:
    facts = device_facts(torch.device("cpu"))
    assert (facts.kind, facts.capability, facts.has_tf32) == ("cpu", None, False)
