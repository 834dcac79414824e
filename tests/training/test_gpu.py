"""Training on CUDA: the choices of [run] that only a GPU can show, each against the plain run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from loss_switches import COMBINED, keys_of

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.model.generator import Block
from swincli.model.mixers.registry import MIXERS
from swincli.recipe import Recipe
from swincli.recipe.objective import GROUPS, AugmentSection
from swincli.recipe.schema import ModelSection
from swincli.system import runtime
from swincli.system.distributed import Processes
from swincli.training.augment.pipe import TRANSFORM_SETS, Augmentation
from swincli.training.loop import train
from swincli.training.rng import derive
from swincli.training.run.state import build_state
from swincli.training.run_step import remember, run_all, run_step
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.batches import next_micro_batches
from swincli.training.step.engine import start_engine
from swincli.training.step.phases import make_phases, make_setting

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]
CUDA = torch.device("cuda")
MakeRecipe = Callable[..., Recipe]
FULL = ("train.batch=8", "loss.bcr_real=1", "loss.bcr_fake=1", "augment.flip=true", "model.g_width=64")


def three_steps(recipe: Recipe, store: Store, device: torch.device = CUDA) -> tuple[list[dict[str, float]], int]:
    """What three steps report, and the most memory that they took."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    steps = steps_of(recipe, store, 3, device)
    return steps, torch.cuda.max_memory_allocated() if device.type == "cuda" else 0


def steps_of(recipe: Recipe, store: Store, count: int, device: torch.device = CUDA) -> list[dict[str, float]]:
    """What some steps report."""
    runtime.configure(tf32=recipe.run.tf32)
    state = build_state(recipe, store.content_hash, device)
    engine = start_engine(recipe.run, state.generator, state.discriminator, device, Processes())
    phases = make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe, engine)
    split = split_batch(recipe, 1)
    return [
        run_step(state, phases, next_micro_batches(recipe, store, state.images_seen, split, 0, device)).get()
        for _ in range(count)
    ]


def assert_close(ours: list[dict[str, float]], theirs: list[dict[str, float]], tolerance: float) -> None:
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine.keys() == yours.keys()
        for key in mine:
            if key.startswith("loss/"):
                assert mine[key] == pytest.approx(yours[key], rel=tolerance, abs=tolerance), key


def test_a_gpu_trains_as_the_cpu_does(tiny_recipe: MakeRecipe, store: Store) -> None:
    on_cpu = three_steps(tiny_recipe(*FULL), store, torch.device("cpu"))
    assert_close(three_steps(tiny_recipe(*FULL), store)[0], on_cpu[0], 1e-4)


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_mixer_mixes_as_on_the_cpu(mixer: str) -> None:
    """A block's result and gradients, in exact float32 on both."""
    runtime.configure()
    section = ModelSection(size=32, latent_dim=16, mapping_layers=1, g_width=64, mixer=mixer)
    torch.manual_seed(0)
    block = Block(section, 32, 64, 1)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    inputs = torch.randn(4, 32, 32, 64), torch.randn(4, 16)
    on_cpu, on_gpu = (result_and_gradients(block.to(device), inputs) for device in (torch.device("cpu"), CUDA))
    largest = max(float(gradient.abs().max()) for gradient in on_cpu[1:])
    torch.testing.assert_close(on_gpu[0], on_cpu[0], rtol=1e-3, atol=1e-4 * float(on_cpu[0].abs().max()))
    for ours, theirs in zip(on_gpu[1:], on_cpu[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * largest)


def result_and_gradients(block: Block, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """Of a block, its inputs and its parameters, on the CPU."""
    device = next(block.parameters()).device
    given = [value.detach().to(device).requires_grad_() for value in inputs]
    out = block(*given)
    wanted = [*given, *block.parameters()]
    gradients = torch.autograd.grad(out.square().sum(), wanted, allow_unused=True, materialize_grads=True)
    return [value.detach().cpu() for value in (out, *gradients)]


@pytest.mark.parametrize("transforms", sorted(TRANSFORM_SETS))
def test_transforms_are_those_of_the_cpu_with_gradients_that_repeat(transforms: str) -> None:
    section = AugmentSection.model_validate({"transforms": transforms, "groups": list(GROUPS[transforms])})
    augmentation, results = Augmentation(section, ModelSection(size=32)), []
    draws = augmentation.draw(8, derive(0, "a"))
    plain = torch.randn(8, 3, 32, 32, generator=derive(0, "images"))
    for device in (torch.device("cpu"), CUDA, CUDA):
        images = plain.to(device).requires_grad_()
        loss = augmentation.apply(images, augmentation.plan(draws, 0.7)).pow(3).sum()
        (gradient,) = torch.autograd.grad(loss, images, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), images)
        results.append((gradient.detach().cpu(), second.cpu()))
    for on_cpu, once, again in zip(*results, strict=True):
        torch.testing.assert_close(once, on_cpu, rtol=1e-3, atol=1e-3 * float(on_cpu.abs().max()))
        assert torch.equal(once, again)


@pytest.mark.parametrize("names", [(), ("bcr",), *COMBINED])
def test_nothing_waits_for_the_gpu_in_a_step(tiny_recipe: MakeRecipe, store: Store, names: tuple[str, ...]) -> None:
    recipe = tiny_recipe(*keys_of(names), "augment.flip=true", "train.batch=4")
    state, split = build_state(recipe, store.content_hash, CUDA), split_batch(recipe, 1)
    networks = state.generator, state.discriminator
    engine = start_engine(recipe.run, *networks, CUDA, Processes())
    phases = make_phases(*networks, state.g_optimizer, state.d_optimizer, recipe, engine, state.memory)
    setting = make_setting(*networks, recipe, engine, state.memory)
    for mode in ("default", "error"):  # the first step makes the constants
        state.images_seen = 0  # every phase is due, with the same numbers
        torch.cuda.set_sync_debug_mode(mode)
        try:
            p = setting.probability(0)
            step = run_step(state, phases, next_micro_batches(recipe, store, 0, split, 0, CUDA, probability=p))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        remember(state, step.images_seen, step.get())


@pytest.mark.parametrize(
    ("choice", "tolerance"),
    [
        ("run.precision=bf16", 3e-2),
        ("run.tf32=true", 5e-3),
        ("run.micro_batch=4", 1e-4),
        ("run.recompute_from=4", 1e-4),
        ("run.channels_last=true", 1e-4),
        ("run.compile=true", 1e-3),
    ],
)
def test_choices_change_speed_and_memory_alone(
    tiny_recipe: MakeRecipe, store: Store, choice: str, tolerance: float
) -> None:
    plain = three_steps(tiny_recipe(*FULL), store)
    assert_close(three_steps(tiny_recipe(*FULL, choice), store)[0], plain[0], tolerance)


@pytest.mark.parametrize("keys", [(), ("run.compile=true",), ("run.micro_batch=4", "run.precision=bf16")])
def test_cuda_graphs_train_as_the_same_phases_without(
    tiny_recipe: MakeRecipe, store: Store, keys: tuple[str, ...]
) -> None:
    """Three runs of a phase come before its graph, and R1 runs in every second step."""
    every = (*FULL, "loss.r1_interval=2", "train.total=80", *keys)
    plain, graphed = (
        steps_of(tiny_recipe(*every, f"run.cuda_graphs={choice}"), store, 10) for choice in ("false", "true")
    )
    assert_close(graphed, plain, 1e-3)


@pytest.mark.parametrize("choice", ["run.micro_batch=4", "run.recompute_from=4", "run.precision=bf16"])
def test_what_is_to_save_memory_does(tiny_recipe: MakeRecipe, store: Store, choice: str) -> None:
    wide = (*FULL, "model.g_width=256", "model.d_width=256", "train.batch=8", "model.size=16")
    assert three_steps(tiny_recipe(*wide, choice), store)[1] < three_steps(tiny_recipe(*wide), store)[1]


def test_auto_takes_bf16() -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU has no bfloat16")
    assert runtime.choose_precision("auto", CUDA) == torch.bfloat16


def test_a_whole_run_in_bf16(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    recipe = tiny_recipe(*FULL, "run.precision=bf16", "train.total=24")
    result = train(recipe, store, tmp_path / "run", CUDA, Console(quiet=True), resume=True)
    assert result.finished
    assert result.model.is_file()


@pytest.mark.parametrize("precision", ["run.precision=fp32", "run.precision=gpu"])
def test_the_phases_of_a_step_never_wait_for_the_device(tiny_recipe: MakeRecipe, store: Store, precision: str) -> None:
    """What is cached is there after the first step; then every wait is an error."""
    recipe = tiny_recipe("train.batch=8", precision)
    runtime.configure(tf32=recipe.run.tf32)
    state = build_state(recipe, store.content_hash, CUDA)
    engine = start_engine(recipe.run, state.generator, state.discriminator, CUDA, Processes())
    phases = make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe, engine)
    batches = next_micro_batches(recipe, store, 0, split_batch(recipe, 1), 0, CUDA)
    run_all(phases, batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run_all(phases, batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
