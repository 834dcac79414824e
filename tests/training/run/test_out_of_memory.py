"""Running out of memory is told from other failures, and the hint can be pasted and helps."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.recipe import load_recipe
from swincli.system import runtime
from swincli.system.device_facts import DeviceFacts
from swincli.training.run.out_of_memory import is_out_of_memory, memory_hint, out_of_memory_error, smaller_micro_batch
from swincli.training.step.batch_shards import split_batch

CPU = torch.device("cpu")
TOO_MUCH = 2**50  # bytes


def allocate(library: str) -> object:
    """Ask for a petabyte."""
    return torch.empty(TOO_MUCH, dtype=torch.uint8) if library == "torch" else np.empty(TOO_MUCH, np.uint8)


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_a_refused_allocation_is_recognised(library: str) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate(library)
    assert is_out_of_memory(caught.value)
    raised = out_of_memory_error(caught.value, load_recipe("ffhq256"), CPU, 32)
    assert raised.message.startswith(
        "cpu: out of memory with micro-batches of 32 images at 256 px (could not allocate 1"
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.0 GB). Tried to allocate 256.00 MB on private pool."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you tried ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
        OSError(12, "Cannot allocate memory"),
        MemoryError(),
    ],
)
def test_the_words_of_every_allocator_are_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_the_cause_counts_too() -> None:
    wrapped = RuntimeError("backend='inductor' raised")
    wrapped.__cause__ = torch.OutOfMemoryError("CUDA out of memory.")
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory"), OSError(28, "full")])
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_what_was_missing_is_said_in_the_allocators_unit() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")
    assert out_of_memory_error(error, load_recipe("ffhq256"), CPU, 8).message.endswith(" (could not allocate 2.00 GiB)")
    assert out_of_memory_error(MemoryError(), load_recipe("ffhq256"), CPU, 1).message.endswith(
        "micro-batches of 1 image at 256 px"
    )


def options(hint: str) -> list[list[str]]:
    """The overrides of every line of a hint that can be pasted."""
    lines = [line.split("  (")[0] for line in hint.splitlines() if line.startswith("  --set ")]
    return [[word for word in shlex.split(line) if word != "--set"] for line in lines]


def test_the_order_to_try() -> None:
    hint = memory_hint(load_recipe("ffhq256"), CPU, 32)
    smaller = ["run.micro_batch=16", "run.recompute_from=64"]
    networks = ["model.g_multiplier=1", "model.d_multiplier=1"]
    assert options(hint) == [smaller[:1], smaller, [*smaller, *networks]]
    assert "a new run" in hint.splitlines()[-1]


def test_only_what_applies_is_named() -> None:
    recipe = load_recipe("ffhq256", ["run.micro_batch=4", "run.recompute_from=8", "model.std_group=4"])
    alone = ["run.micro_batch=2", "model.std_group=2"]
    assert options(memory_hint(recipe, CPU, 4)) == [alone, ["model.g_multiplier=1", "model.d_multiplier=1"]]


def test_nothing_left_to_try() -> None:
    recipe = load_recipe("quickstart-faces", ["run.micro_batch=4", "run.recompute_from=8", "model.std_group=1"])
    assert recipe.model.g_channels is not None  # widths that are spelled out are not halved
    assert memory_hint(recipe, CPU, 1).startswith("Micro-batch and networks have their smallest sizes")


def test_a_known_limit_is_taken_over_half() -> None:
    recipe = load_recipe("ffhq256")
    assert smaller_micro_batch(recipe, 32, 16) == 16
    assert smaller_micro_batch(recipe, 32, 7) == 4
    assert smaller_micro_batch(recipe, 32, 1) == 4  # a group cannot be parted
    assert smaller_micro_batch(recipe, 8, 4, processes=4) == 4
    assert smaller_micro_batch(recipe, 4, 2) is None


@pytest.mark.parametrize("key", ["model.style=adabn", "loss.top_k=0.9", "loss.mee_entropy=1"])
def test_what_needs_the_whole_batch_cannot_be_parted(key: str) -> None:
    recipe = load_recipe("ffhq256", [key, "loss.bcr_real=0", "loss.bcr_fake=0"])
    assert smaller_micro_batch(recipe, 32, 16) is None
    assert "micro_batch" not in memory_hint(recipe, CPU, 4)


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 64),
    group=st.integers(1, 8),
    discriminator=st.sampled_from(["wavelet", "patch"]),
    size=st.sampled_from([16, 64, 256]),
    recompute=st.sampled_from([None, 8, 64, 1024]),
    width=st.sampled_from([16, 64, 512]),
    fits=st.integers(0, 64),
    features=st.booleans(),
)
def test_every_option_makes_a_recipe_that_trains_in_smaller_passes(
    batch: int, group: int, discriminator: str, size: int, recompute: int | None, width: int, fits: int, features: bool
) -> None:
    overrides = [
        f"train.batch={batch}",
        f"model.std_group={group}",
        f"model.discriminator={discriminator}",
        f"model.size={size}",
        f"model.g_width={width}",
        f"run.recompute_from={'null' if recompute is None else recompute}",
        f"loss.features={int(features and size >= 32 and discriminator == 'wavelet')}",
    ]
    recipe = load_recipe("ffhq256", overrides)
    images = split_batch(recipe, 1).micro_batch_size
    for changes in options(memory_hint(recipe, CPU, images, at_most=min(fits, images))):
        changed = load_recipe("ffhq256", [*overrides, *changes])  # a RecipeError where a key or value is wrong
        assert changed != recipe
        if any(change.startswith("run.micro_batch") for change in changes):
            assert split_batch(changed, 1).micro_batch_size < images


def test_cuda_that_can_is_told_of_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "device_facts", lambda device: DeviceFacts(device.type, capability=(9, 0)))
    cuda = torch.device("cuda")
    assert "run.precision=bf16" in memory_hint(load_recipe("ffhq256", ["run.precision=fp32"]), cuda, 32)
    assert "run.precision" not in memory_hint(load_recipe("ffhq256"), cuda, 32)
    assert "run.precision" not in memory_hint(load_recipe("ffhq256", ["run.precision=bf16"]), cuda, 32)
    assert "run.precision" not in memory_hint(load_recipe("ffhq256"), CPU, 32)
