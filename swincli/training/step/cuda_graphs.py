"""Phases of a step as CUDA graphs: recorded once and launched as a whole, so that the GPU does not wait for the host.

A graph repeats the same kernels on the same memory. What differs from step to step is therefore a tensor that is copied
into the graph's own input (images, latents, labels, bCR's draws), or part of the key that a graph is valid for: numbers
of the host, such as rates and weights, and the addresses of weights, buffers and moments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from swincli.errors import ResourceError
from swincli.recipe import Recipe
from swincli.training.losses.batch import Batch
from swincli.training.losses.weights import WEIGHTS
from swincli.training.schedules import r1_weight, r2_weight

WARM_UP = 2
"""Steps with the same key that run uncaptured before one is captured. Libraries allocate what they need in them."""

RUNS_TO_CAPTURE = WARM_UP + 2
"""Runs of a new phase of which the last one captures it: moments are new after the first."""

_ON_CPU = ("draws",)
"""Fields of a batch that no phase reads: the device has its copies in `sent`."""

Scalars = dict[str, Tensor]
Work = Callable[[], Scalars]


class Recorder(Protocol):
    """Something that captures work and replays it."""

    def warm_up(self, work: Work) -> Scalars:
        """Do the work as it will be captured, without capturing it."""
        ...

    def capture(self, work: Work) -> tuple[Scalars, Callable[[], object]]:
        """Capture the work without doing it: its result, and a function that does it and writes into that result."""
        ...


class CudaRecorder:
    """CUDA graphs of one device. They share one memory pool, because no phase needs another one's activations."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, work: Work) -> Scalars:
        """Do the work on the stream that captures: autograd must not remember another one."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            result = work()
        here.wait_stream(self._stream)
        return result

    def capture(self, work: Work) -> tuple[Scalars, Callable[[], object]]:
        """See `Recorder`. The thread that reads images may go on using the device meanwhile.

        Raises:
            ResourceError: something in the work cannot be captured.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                result = work()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ResourceError(f"run.cuda_graphs: capturing failed: {reason}", "Set run.cuda_graphs=false.") from error
        return result, graph.replay


@dataclasses.dataclass(frozen=True)
class _Graph:
    """A captured phase.

    Attributes:
        inputs: The tensors that it reads, in the order of `_tensors`.
        scalars: Its results, which each replay overwrites.
        replay: Launches it.
    """

    inputs: list[Tensor]
    scalars: Scalars
    replay: Callable[[], object]


class GraphedPhase:
    """Runs a phase on micro-batches: as it is until its key has been the same `WARM_UP` times, then as a graph.

    Args:
        recorder: Captures and replays.
        optimizer: The optimiser that steps in the phase.
        key: What a graph depends on besides the shapes of its input, from the images seen.
    """

    def __init__(self, recorder: Recorder, optimizer: torch.optim.Optimizer, key: Callable[[int], Hashable]) -> None:
        self._recorder, self._optimizer, self._key_of = recorder, optimizer, key
        self._key: Hashable = None
        self._calls = 0
        self._graph: _Graph | None = None

    def run(self, phase: Callable[[Sequence[Batch]], Scalars], micro_batches: Sequence[Batch]) -> Scalars:
        """The scalars of `phase(micro_batches)`. The next run may overwrite them."""
        given = _tensors(micro_batches)
        key = self._key_of(micro_batches[0].images_seen), tuple((each.shape, each.dtype) for each in given)
        if key != self._key:
            self._key, self._calls, self._graph = key, 0, None
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._recorder.warm_up(lambda: phase(micro_batches))
        if self._graph is None:
            self._graph = self._capture(phase, micro_batches)
        else:
            torch._foreach_copy_(self._graph.inputs, given)
        self._graph.replay()
        return self._graph.scalars

    def _capture(self, phase: Callable[[Sequence[Batch]], Scalars], micro_batches: Sequence[Batch]) -> _Graph:
        own = [_with_own_tensors(batch) for batch in micro_batches]
        with _capturable(self._optimizer):
            scalars, replay = self._recorder.capture(lambda: phase(own))
        return _Graph(_tensors(own), scalars, replay)


def graph_key(
    recipe: Recipe, networks: Sequence[nn.Module], optimizer: torch.optim.Optimizer
) -> Callable[[int], Hashable]:
    """A function from the images seen to what the graph of a phase depends on, besides its input."""
    loss = recipe.loss
    tensors = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]

    def key(images_seen: int) -> Hashable:
        weights = [weight(loss, images_seen) for weight in WEIGHTS.values()]
        weights += [r1_weight(images_seen, loss), r2_weight(images_seen, loss)]
        rates = [(group["lr"], *group["betas"]) for group in optimizer.param_groups]
        moments = [moment for moments in optimizer.state.values() for moment in moments.values()]
        addresses = [tensor.data_ptr() for tensor in (*tensors, *moments)]
        return (*weights, *rates, *addresses)

    return key


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """In the block, Adam agrees to be captured. Fused Adam computes the same: its steps are on the device."""
    for group in optimizer.param_groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in optimizer.param_groups:
            group["capturable"] = False


def _tensors(value: Any) -> list[Tensor]:
    """The tensors of micro-batches in a fixed order, without those on the CPU."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in _parts(value).values() for tensor in _tensors(part)]


def _with_own_tensors(value: Any) -> Any:
    """A copy of a batch whose tensors are copies."""
    if isinstance(value, Tensor):
        return value.clone()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{name: _with_own_tensors(part) for name, part in _parts(value).items()})
    return {name: _with_own_tensors(part) for name, part in value.items()} if isinstance(value, dict) else value


def _parts(value: Any) -> dict[Any, Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.name not in _ON_CPU]
        return {name: getattr(value, name) for name in names}
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else {}
