"""However the networks run - in passes, recomputed, compiled, in another layout or precision - they train the same."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from first_steps import next_step_micro_batches
from plain_losses import plain_losses
from torch import Tensor, nn

from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.system.distributed import Processes
from swincli.training.losses.batch import Batch
from swincli.training.run.state import TrainingState, build_state
from swincli.training.run_step import run_step
from swincli.training.step.engine import Engine, compile_networks, start_engine
from swincli.training.step.phases import make_phases

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
Steps = tuple[TrainingState, list[dict[str, float]]]
FULL = ("train.batch=8", "loss.bcr_real=1", "loss.bcr_fake=1", "augment.flip=true", "train.total=24")


def start(recipe: Recipe, store: Store, *, double: bool = True) -> tuple[TrainingState, Engine]:
    """A run and its engine; with networks in float64, so that rounding hides nothing."""
    state = build_state(recipe, store.content_hash, CPU)
    if double:
        for network in (state.generator, state.discriminator, state.average):
            network.double()
    return state, start_engine(recipe.run, state.generator, state.discriminator, CPU, Processes())


def three_steps(recipe: Recipe, store: Store, backend: str | None = None, *, double: bool = True) -> Steps:
    """Three steps, two of them with R1, of real passes; `backend` compiles the networks with it."""
    state, engine = start(recipe, store, double=double)
    if backend:
        compile_networks(state.generator, state.discriminator, backend=backend)
        engine = Engine(compiled=True)
    phases = make_phases(
        state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, state.recipe, engine
    )
    steps = []
    for _ in range(3):
        batches = next_step_micro_batches(state, store)
        if double:
            batches = [doubled(batch) for batch in batches]
        steps.append(run_step(state, phases, batches).get())
    return state, steps


@pytest.fixture(scope="module")
def plain_runs(tiny_recipe: MakeRecipe, store: Store) -> Callable[[str], Steps]:
    """Three steps of a discriminator with nothing special about how they run, by its kind; trained once."""

    @functools.cache
    def of(discriminator: str) -> Steps:
        return three_steps(tiny_recipe(*FULL, f"model.discriminator={discriminator}"), store)

    return of


def doubled(batch: Batch) -> Batch:
    """The same in float64."""
    return replace(
        batch, reals=batch.reals.double(), d_latents=batch.d_latents.double(), g_latents=batch.g_latents.double()
    )


def assert_same_training(one: Steps, other: Steps) -> None:
    for ours, theirs in zip(one[1], other[1], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)
    for name in ("generator", "discriminator", "average"):
        weights = getattr(other[0], name).state_dict()
        for key, value in getattr(one[0], name).state_dict().items():
            torch.testing.assert_close(value, weights[key], rtol=1e-8, atol=1e-10, msg=f"{name}.{key}")


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("plain", "patch")]


@pytest.mark.parametrize("discriminator", ["wavelet", *SLOW])
def test_gradient_accumulation_changes_nothing(
    tiny_recipe: MakeRecipe, store: Store, plain_runs: Callable[[str], Steps], discriminator: str
) -> None:
    keys = (*FULL, f"model.discriminator={discriminator}", "run.micro_batch=4")
    assert_same_training(three_steps(tiny_recipe(*keys), store), plain_runs(discriminator))


@pytest.mark.parametrize("discriminator", ["wavelet", "plain", "patch"])
def test_recomputing_activations_changes_nothing(
    tiny_recipe: MakeRecipe, store: Store, plain_runs: Callable[[str], Steps], discriminator: str
) -> None:
    keys = (*FULL, f"model.discriminator={discriminator}", "run.recompute_from=8")
    assert_same_training(three_steps(tiny_recipe(*keys), store), plain_runs(discriminator))


def test_recomputing_keeps_less(tiny_recipe: MakeRecipe, store: Store) -> None:
    def kept(recompute_from: str) -> int:
        state, _ = start(tiny_recipe(*FULL, f"run.recompute_from={recompute_from}"), store)
        state.generator.requires_grad_(True)
        state.discriminator.requires_grad_(True)
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.numel()
            return tensor

        z = torch.randn(8, 16, dtype=torch.float64)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            state.discriminator(state.generator(z))
        return sum(sizes.values())

    assert kept("16") < kept("null")
    assert kept("4") < 0.5 * kept("null")


def test_channels_last_changes_the_layout_alone(
    tiny_recipe: MakeRecipe, store: Store, plain_runs: Callable[[str], Steps]
) -> None:
    assert_same_training(three_steps(tiny_recipe(*FULL, "run.channels_last=true"), store), plain_runs("wavelet"))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_r1_of_a_compiled_discriminator_is_that_of_the_same_one(tiny_recipe: MakeRecipe, store: Store) -> None:
    """By the tracing half of torch.compile, which is where it goes wrong; it needs no C++ compiler."""
    state, _ = start(tiny_recipe(*FULL), store)
    (batch,) = (doubled(batch) for batch in next_step_micro_batches(state, store))
    gradients = []
    for compiled in (False, True):
        state, _ = start(tiny_recipe(*FULL), store)
        if compiled:
            compile_networks(nn.Module(), state.discriminator, backend="aot_eager")
            state.discriminator(batch.reals)  # so that it has been compiled before R1 asks for the second derivative
        else:
            state.discriminator(batch.reals)
        state.discriminator.requires_grad_(True)
        plain_losses(
            state.generator, state.discriminator, state.recipe.loss, model=state.recipe.model, compiled=compiled
        ).d_penalties(batch)
        gradients.append([parameter.grad for parameter in state.discriminator.parameters()])
    for plain, other in zip(*gradients, strict=True):
        assert plain is not None
        torch.testing.assert_close(other, plain, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_compiling_changes_nothing(tiny_recipe: MakeRecipe, store: Store) -> None:
    assert_same_training(three_steps(tiny_recipe(*FULL), store, "aot_eager"), three_steps(tiny_recipe(*FULL), store))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # what the compiler itself imports
def test_compiled_kernels_train_the_same(tiny_recipe: MakeRecipe, store: Store) -> None:
    plain = three_steps(tiny_recipe(*FULL), store, double=False)
    compiled = three_steps(tiny_recipe(*FULL), store, "inductor", double=False)
    for ours, theirs in zip(compiled[1], plain[1], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    for name in ("generator", "discriminator"):
        weights = getattr(plain[0], name).state_dict()
        for key, value in getattr(compiled[0], name).state_dict().items():
            torch.testing.assert_close(value, weights[key], rtol=1e-3, atol=2e-5, msg=f"{name}.{key}")


@pytest.mark.slow
def test_bf16_trains_about_the_same_with_float32_kept_where_it_matters(tiny_recipe: MakeRecipe, store: Store) -> None:
    plain, half = (
        three_steps(tiny_recipe(*FULL, f"run.precision={precision}"), store, double=False)
        for precision in ("fp32", "bf16")
    )
    for ours, theirs in zip(half[1], plain[1], strict=True):
        assert ours != theirs
        for key in ("loss/d", "loss/g", "loss/r1", "loss/bcr"):
            if key in theirs:
                assert ours[key] == pytest.approx(theirs[key], rel=0.02, abs=2e-3)
    assert all(value.dtype == torch.float32 for value in half[0].generator.state_dict().values())


def test_which_layers_see_which_precision(tiny_recipe: MakeRecipe, store: Store) -> None:
    state, engine = start(tiny_recipe(*FULL, "run.precision=bf16"), store, double=False)
    assert engine.precision == torch.bfloat16
    seen: dict[str, set[torch.dtype]] = {}

    def watch(kind: str) -> Callable[[nn.Module, object, Tensor], None]:
        def note(module: nn.Module, inputs: object, output: Tensor) -> None:  # noqa: ARG001
            seen.setdefault(kind, set()).add(output.dtype)

        return note

    for network in (state.generator, state.discriminator):
        for module in network.modules():
            module.register_forward_hook(watch(type(module).__name__))
    phases = make_phases(
        state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, state.recipe, engine
    )
    d, r1, g = phases
    d.run(next_step_micro_batches(state, store))
    g.run(next_step_micro_batches(state, store))
    full, half = {torch.float32}, {torch.bfloat16}
    assert seen["GroupedAttention"] == seen["Mlp"] == seen["TrunkBlock"] == half
    for kind in ("EqualLinear", "AdaptiveInstanceNorm", "ToRGB", "Generator", "SpectralWeight", "WaveletDiscriminator"):
        assert seen[kind] == full, kind
    seen.clear()
    r1.run(next_step_micro_batches(state, store))
    assert set().union(*seen.values()) == full


def test_channels_last_lays_out_maps_and_leaves_weights_contiguous(tiny_recipe: MakeRecipe, store: Store) -> None:
    """Then neither Adam nor DDP meets strides of two kinds, and spectral norm needs no copy of a weight."""
    layouts = []
    for channels_last in ("false", "true"):
        state, _ = start(tiny_recipe(f"run.channels_last={channels_last}"), store)
        discriminator = state.discriminator.requires_grad_(True)
        features = discriminator.features(torch.randn(4, 3, 16, 16, dtype=torch.float64))  # type: ignore[operator]
        features.sum().backward()
        layouts.append(features.is_contiguous(memory_format=torch.channels_last))
        for parameter in discriminator.trunk.parameters():  # type: ignore[union-attr]
            assert parameter.is_contiguous()
            assert parameter.grad is not None
            assert parameter.grad.is_contiguous()
    assert layouts == [False, True]


def test_ddp_does_not_warn_of_strides(tiny_recipe: MakeRecipe, store: Store) -> None:
    recipe = tiny_recipe("run.channels_last=true")
    state = build_state(recipe, store.content_hash, CPU)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start_engine(recipe.run, state.generator, state.discriminator, CPU, Processes(0, 2))
        warnings.warn("Grad strides do not match bucket view strides. This may impair performance.", stacklevel=1)
    assert not caught
