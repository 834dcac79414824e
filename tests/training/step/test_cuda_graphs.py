"""Phases as CUDA graphs, with a tape in the place of CUDA: the same operations on the same tensors again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from first_steps import next_step_micro_batches
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from swincli.data.store.reader import Store
from swincli.errors import ResourceError
from swincli.ops.cpu_tiles import as_on_a_gpu
from swincli.recipe import Recipe
from swincli.recipe.schema import RunSection
from swincli.system.distributed import Processes
from swincli.training.run.state import TrainingState, build_state
from swincli.training.run_step import run_step
from swincli.training.step.cuda_graphs import WARM_UP, Scalars, Work
from swincli.training.step.engine import Engine, start_engine
from swincli.training.step.optimizers import load_optimizer
from swincli.training.step.phases import make_phases

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
SLOW, NO_BCR = pytest.mark.slow, ("loss.bcr_real=0", "loss.bcr_fake=0")
STEPS = 6
KEYS = ("train.batch=8", "loss.bcr_real=1", "loss.bcr_fake=1", "augment.flip=true", "train.total=96")


class Tape(TorchDispatchMode):
    """Operations with their arguments and results, done once; `replay` does them again into the same results.

    Like CUDA's capture, it allows no read of a value by the host. Unlike it, capturing also does the work, so the first
    replay does nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.is_new = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "a captured phase reads a value"
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        if self.is_new:
            self.is_new = False
            return
        for func, args, kwargs, old in self.calls:
            for now, before in zip(_flat(func(*args, **kwargs)), _flat(old), strict=True):
                if now.data_ptr() != before.data_ptr():  # neither a view nor in place
                    before.copy_(now)


def _flat(value: Any) -> list[Tensor]:
    return [each for each in torch.utils._pytree.tree_leaves(value) if isinstance(each, Tensor)]


class TapeRecorder:
    """A recorder by tapes."""

    def __init__(self) -> None:
        self.warmed = self.captured = self.replayed = 0

    def warm_up(self, work: Work) -> Scalars:
        self.warmed += 1
        return work()

    def capture(self, work: Work) -> tuple[Scalars, Callable[[], object]]:
        self.captured += 1
        with Tape() as tape:
            result = work()

        def replay() -> None:
            self.replayed += 1
            tape.replay()

        return result, replay


def train(
    recipe: Recipe,
    store: Store,
    recorder: TapeRecorder | None,
    steps: int = STEPS,
    between: Callable[[int, TrainingState], None] = lambda *_: None,
) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """What steps report on the path of a GPU, and the weights and moments after them."""
    state = build_state(recipe, store.content_hash, CPU)
    networks, optimizers = (state.generator, state.discriminator), (state.g_optimizer, state.d_optimizer)
    phases = make_phases(*networks, *optimizers, recipe, Engine(recorder=recorder))
    reports = []
    for number in range(steps):
        between(number, state)
        with as_on_a_gpu():
            reports.append(run_step(state, phases, next_step_micro_batches(state, store)).get())
    values = {
        f"{i} {name}": value for i, network in enumerate(networks) for name, value in network.state_dict().items()
    }
    for i, optimizer in enumerate(optimizers):
        moments = optimizer.state_dict()["state"]
        values |= {f"{i} {kind} {n}": value for n, each in moments.items() for kind, value in each.items()}
    return reports, values


def assert_same_bits(one: Any, other: Any) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        assert torch.equal(value, other[1][name]), name


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(("loss.r1_interval=6", "train.clip=0.1", *NO_BCR), id="R1"),
        pytest.param(("run.micro_batch=4", "loss.r1_gamma=0", "loss.tv=0.1"), id="micro-batches", marks=SLOW),
        pytest.param(("loss.joint_penalty=true", "loss.r2_gamma=1", *NO_BCR), id="joint", marks=SLOW),
        pytest.param(("model.style=adabn", "run.recompute_from=8", "loss.r1_gamma=0"), id="adabn", marks=SLOW),
    ],
)
def test_graphs_train_to_the_same_bits(tiny_recipe: MakeRecipe, store: Store, keys: tuple[str, ...]) -> None:
    recipe, recorder = tiny_recipe(*KEYS, *keys), TapeRecorder()
    assert_same_bits(train(recipe, store, recorder), train(recipe, store, None))
    assert recorder.captured == 2, "D and G; R1 has not run often enough"
    assert recorder.replayed == 2 * (STEPS - 1 - WARM_UP), "moments are new after the first step"


@pytest.mark.slow
def test_what_changes_with_the_images_seen_is_not_kept(tiny_recipe: MakeRecipe, store: Store) -> None:
    """Rates that decay from some step on, and a weight that changes until another one."""
    keys = ("train.decay_from=32", "loss.tv=1", "loss.tv_until=8", "loss.r1_gamma=0")
    recipe, recorder = tiny_recipe(*KEYS, *keys), TapeRecorder()
    assert_same_bits(train(recipe, store, recorder), train(recipe, store, None))
    assert recorder.captured == 2
    assert 0 < recorder.replayed < 2 * (STEPS - 1 - WARM_UP)


@pytest.mark.slow
def test_weights_and_moments_in_other_memory_are_captured_again(tiny_recipe: MakeRecipe, store: Store) -> None:
    def move(number: int, state: TrainingState) -> None:
        if number == 4:
            load_optimizer(state.g_optimizer, state.g_optimizer.state_dict())
            for parameter in state.discriminator.parameters():
                parameter.data = parameter.data.clone()

    recipe, recorder = tiny_recipe(*KEYS, "loss.r1_gamma=0"), TapeRecorder()
    moved = train(recipe, store, recorder, 8, move)
    assert_same_bits(moved, train(recipe, store, None, 8, move))
    assert recorder.captured == 4


def test_several_processes_have_no_graphs() -> None:
    network = torch.nn.Linear(1, 1)
    with pytest.raises(ResourceError, match=r"^run\.cuda_graphs: works with one process alone"):
        start_engine(RunSection(cuda_graphs=True), network, network, CPU, Processes(0, 2))  # type: ignore[arg-type]
    assert start_engine(RunSection(cuda_graphs=True), network, network, CPU, Processes()).recorder is None  # type: ignore[arg-type]
