"""Path length: of a linear generator by hand, and of the real one in every way in which it runs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from first_steps import next_step_micro_batches
from torch import Tensor

from swincli.data.store.reader import Store
from swincli.ops import cpu_tiles
from swincli.recipe import Recipe
from swincli.system.distributed import Processes
from swincli.training.loop import run_step
from swincli.training.losses.memory import Step
from swincli.training.losses.path_length import PATH_MEAN, REMEMBERED, path_lengths
from swincli.training.run.state import TrainingState, build_state
from swincli.training.step.engine import compile_networks, start_engine
from swincli.training.step.phases import make_phases

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
LAYERS = 6
SLOWER = ("adaln", "modulated-mlp", "none")
KEYS = ("loss.path_length=2", "loss.path_length_interval=2", "train.batch=8")


class LinearGenerator:
    """G(w+) = A w+, summed over layers: the gradient is A^T y in every layer, as in a generator that ignores layers."""

    def __init__(self) -> None:
        self.matrix = torch.randn(3 * 4 * 4, 5, dtype=torch.float64, requires_grad=True)

    def map(self, z: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        return z

    def broadcast(self, w: Tensor) -> Tensor:
        return w[:, None].expand(-1, LAYERS, -1)

    def synthesise(self, w_plus: Tensor) -> Tensor:
        return (w_plus[:, 0] @ self.matrix.T).view(-1, 3, 4, 4)


def test_of_a_linear_generator() -> None:
    """Only the first layer of w+ is used, so the mean over L layers of the squared norm is |A^T y|² / L."""
    generator, noise = LinearGenerator(), torch.randn(7, 3, 4, 4, dtype=torch.float64)
    z = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    lengths = path_lengths(generator, z, None, noise=noise)
    y = noise.flatten(1) / math.sqrt(4 * 4)
    expected = (y @ generator.matrix).norm(dim=1) / math.sqrt(LAYERS)
    torch.testing.assert_close(lengths, expected)
    (ours,) = torch.autograd.grad(lengths.sum(), generator.matrix, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected.sum(), generator.matrix)
    torch.testing.assert_close(ours, theirs)


def test_the_mean_moves_by_a_hundredth_after_each_phase_and_not_between(tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe(*KEYS)
    values = REMEMBERED.start(recipe)
    for _ in range(2):
        values |= REMEMBERED.update(values, Step(recipe, 0, {"g/path_length": 3.0}, {}))
        values |= REMEMBERED.update(values, Step(recipe, 0, {}, {}))
    assert values[PATH_MEAN].item() == pytest.approx(3 * (1 - 0.99**2))


def gradients(recipe: Recipe, store: Store, *, backend: str | None = None) -> tuple[TrainingState, dict[str, Any]]:
    """One path phase of disturbed networks in float64: the state, and G's gradients by name."""
    state = build_state(recipe, store.content_hash, CPU)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in state.generator.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    state.generator.double()
    state.memory.values[PATH_MEAN].fill_(0.3)
    engine = start_engine(recipe.run, state.generator, state.discriminator, CPU, Processes())
    if backend:
        compile_networks(state.generator, state.discriminator, backend=backend)
        engine = type(engine)(engine.processes, engine.precision, compiled=True)
    *_, phase = make_phases(
        state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe, engine, state.memory
    )
    assert phase.name == "path"
    found: dict[str, Any] = {}

    def keep(*_: object) -> None:
        found.update({name: parameter.grad for name, parameter in state.generator.named_parameters()})

    state.g_optimizer.register_step_pre_hook(keep)
    batches = next_step_micro_batches(state, store)
    for batch in batches:
        object.__setattr__(batch, "g_latents", batch.g_latents.double())
    found["scalars"] = phase.run(batches)
    return state, found


@pytest.fixture(scope="module")
def plain_gradients(tiny_recipe: MakeRecipe, store: Store) -> dict[str, Any]:
    return gradients(tiny_recipe(*KEYS), store)[1]


def assert_close(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for name, scalar in theirs.pop("scalars").items():
        torch.testing.assert_close(ours["scalars"][name], scalar, rtol=1e-8, atol=1e-12, msg=name)
    for name, value in theirs.items():
        assert value is not None, name
        torch.testing.assert_close(ours[name], value, rtol=1e-8, atol=1e-12, msg=name)


@pytest.mark.parametrize("how", ["run.micro_batch=4", "run.recompute_from=4", "tiles", "as on a GPU"])
def test_the_real_generator_however_it_runs(
    tiny_recipe: MakeRecipe,
    store: Store,
    plain_gradients: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    plain = dict(plain_gradients)
    assert plain["levels.0.blocks.0.attention.qkv.weight"].abs().max() > 0
    if "=" not in how:
        monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    with cpu_tiles.as_on_a_gpu() if how == "as on a GPU" else contextlib.nullcontext():
        _, other = gradients(tiny_recipe(*KEYS, *([how] if "=" in how else [])), store)
    assert_close(other, plain)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_compiled_networks_run_eagerly_in_this_phase(tiny_recipe: MakeRecipe, store: Store) -> None:
    _, plain = gradients(tiny_recipe(*KEYS), store)
    _, compiled = gradients(tiny_recipe(*KEYS), store, backend="aot_eager")
    assert_close(compiled, plain)


@pytest.mark.parametrize("style", ["cross-attention", *(pytest.param(one, marks=pytest.mark.slow) for one in SLOWER)])
def test_every_way_of_injecting_style(tiny_recipe: MakeRecipe, store: Store, style: str) -> None:
    _, found = gradients(tiny_recipe(*KEYS, f"model.style={style}"), store)
    assert found.pop("scalars")["g/path_length"] > 0
    assert all(value.isfinite().all() for value in found.values())


def test_it_runs_in_its_interval(tiny_recipe: MakeRecipe, store: Store) -> None:
    recipe = tiny_recipe(*KEYS, "train.batch=4")
    state = build_state(recipe, store.content_hash, CPU)
    phases = make_phases(
        state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, recipe, memory=state.memory
    )
    steps = [run_step(state, phases, next_step_micro_batches(state, store)).get() for _ in range(3)]
    assert ["loss/path_length" in step for step in steps] == [True, False, True]
    assert steps[0]["loss/path_length"] > 0
