"""Adam's moments across sessions: another memory format, another machine, a checkpoint of `train.init`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from first_steps import next_step_micro_batches

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.system.distributed import Processes
from swincli.training.run.shared_state import copy_in_memory
from swincli.training.run.state import TrainingState, build_state, restore, save_state
from swincli.training.run_step import run_step
from swincli.training.step.engine import start_engine
from swincli.training.step.optimizers import make_optimizer
from swincli.training.step.phases import Phase, make_phases
from swincli.training.transfer.init_from import init_from_checkpoint

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
PLAIN, CHANNELS_LAST = "run.channels_last=false", "run.channels_last=true"


def phases_of(state: TrainingState) -> list[Phase]:
    engine = start_engine(state.recipe.run, state.generator, state.discriminator, CPU, Processes())
    return make_phases(state.generator, state.discriminator, state.g_optimizer, state.d_optimizer, state.recipe, engine)


def train_steps(state: TrainingState, phases: list[Phase], store: Store, steps: int) -> TrainingState:
    for _ in range(steps):
        run_step(state, phases, next_step_micro_batches(state, store))
    return state


def assert_same_weights(one: TrainingState, other: TrainingState) -> None:
    for name in ("generator", "discriminator"):
        weights = getattr(other, name).state_dict()
        for key, value in getattr(one, name).state_dict().items():
            torch.testing.assert_close(value, weights[key], rtol=1e-4, atol=2e-6, msg=f"{name}.{key}")


@pytest.fixture(scope="module", params=[PLAIN, CHANNELS_LAST])
def layout(request: pytest.FixtureRequest) -> str:
    """Memory format of the first session."""
    return str(request.param)


@pytest.fixture(scope="module")
def first_session(tiny_recipe: MakeRecipe, store: Store, layout: str) -> TrainingState:
    """Three steps in this layout."""
    state = build_state(tiny_recipe(layout), store.content_hash, CPU)
    return train_steps(state, phases_of(state), store, 3)


@pytest.fixture(scope="module")
def never_switched(first_session: TrainingState, store: Store) -> TrainingState:
    """The same session, two steps later, in the same layout."""
    state = build_state(first_session.recipe, store.content_hash, CPU)
    restore(state, copy_in_memory(first_session))
    return train_steps(state, phases_of(state), store, 2)


def other_layout(layout: str) -> str:
    return PLAIN if layout == CHANNELS_LAST else CHANNELS_LAST


def test_a_run_goes_on_in_another_layout(
    tiny_recipe: MakeRecipe, store: Store, layout: str, first_session: TrainingState, never_switched: TrainingState
) -> None:
    switched = build_state(tiny_recipe(other_layout(layout)), store.content_hash, CPU)
    restore(switched, copy_in_memory(first_session))
    assert_same_weights(train_steps(switched, phases_of(switched), store, 2), never_switched)


def test_a_state_restored_into_running_phases_fits_their_layout(
    tiny_recipe: MakeRecipe, store: Store, layout: str, first_session: TrainingState, never_switched: TrainingState
) -> None:
    """As after the smoke test of a new run."""
    switched = build_state(tiny_recipe(other_layout(layout)), store.content_hash, CPU)
    phases = phases_of(switched)
    restore(switched, copy_in_memory(first_session))
    assert_same_weights(train_steps(switched, phases, store, 2), never_switched)


def test_a_run_starts_from_moments_in_another_layout(
    tiny_recipe: MakeRecipe,
    store: Store,
    layout: str,
    first_session: TrainingState,
    never_switched: TrainingState,
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.pt"
    save_state(path, first_session)
    recipe = tiny_recipe(other_layout(layout), f"train.init={path}")
    switched = build_state(recipe, store.content_hash, CPU)
    init_from_checkpoint(switched, str(path), Console(quiet=True))
    assert_same_weights(train_steps(switched, phases_of(switched), store, 2), never_switched)


@pytest.mark.parametrize(("device", "fused"), [("cpu", True), ("meta", None)])
def test_adam_is_fused_or_left_to_pytorch(device: str, fused: bool | None) -> None:
    weight = torch.nn.Parameter(torch.zeros(2, device=device))
    assert make_optimizer([weight], 0.1, (0.0, 0.99), 0).param_groups[0]["fused"] is fused


def test_adam_is_fused_on_mps() -> None:
    class OfMps(torch.nn.Parameter):
        """A parameter that names another device."""

        @property
        def device(self) -> torch.device:
            return torch.device("mps")

    assert make_optimizer([OfMps(torch.zeros(2))], 0.1, (0.0, 0.99), 0).param_groups[0]["fused"] is True


def test_a_state_keeps_the_adam_of_the_machine(tiny_recipe: MakeRecipe, store: Store) -> None:
    """A state of another machine may name another implementation; its settings of the experiment stay."""
    saved = build_state(tiny_recipe(), store.content_hash, CPU)
    train_steps(saved, phases_of(saved), store, 1)
    content = copy_in_memory(saved)
    for part in ("g_optimizer", "d_optimizer"):
        content[part]["param_groups"][0] |= {"fused": False, "foreach": False, "capturable": True, "betas": (0.5, 0.9)}
    state = build_state(tiny_recipe(), store.content_hash, CPU)
    restore(state, content)
    for optimizer in (state.g_optimizer, state.d_optimizer):
        group = optimizer.param_groups[0]
        assert (group["fused"], group["foreach"], group["capturable"]) == (True, None, False)
        assert group["betas"] == (0.5, 0.9)
    train_steps(state, phases_of(state), store, 1)
