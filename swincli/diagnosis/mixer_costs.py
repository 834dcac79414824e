"""What each token mixer costs at each resolution of a recipe on this machine, and which to take for a budget.

Every mixer is measured in a block of the recipe's G: a forward pass, and a forward and backward pass. The choice needs
no search: attention is exchanged from the largest maps downwards, as in CAFormer (Yu et al., 2024) and HiT (Zhao et
al., 2021), each time for the fastest mixer that was measured (latency-driven, as EfficientFormer, Li et al., 2022).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from swincli.console import Console
from swincli.errors import SwincliError, UsageError, did_you_mean
from swincli.model.blocks.conditioning import unknown_labels
from swincli.model.generator import Block, Generator
from swincli.model.mixers.registry import MIXERS, mixer_at, mixers_with
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.training.run.out_of_memory import is_out_of_memory

SECONDS_PER_BLOCK = 0.5  # of repetitions of a mixer at a resolution; at least `FEWEST` are timed
FEWEST, MOST = 3, 50
INDEX = 1  # the second block of a resolution, whose windows may be shifted


def _half_mlp(config: ModelSection, side: int) -> dict[str, Any]:
    return {"mlp_hidden": {str(each): config.hidden_at(each) // (1 + (each == side)) for each in config.resolutions}}


def _two_heads(config: ModelSection, side: int) -> dict[str, Any]:
    return {"heads": {str(each): 2 if each == side else config.heads_at(each) for each in config.resolutions}}


CONTROLS: dict[str, Callable[[ModelSection, int], dict[str, Any]]] = {"half MLP": _half_mlp, "2 heads": _two_heads}
"""What saves without another mixer, as changes of the [model] section at a resolution. They are measured beside the
mixers, and not chosen."""


@dataclass(frozen=True)
class MixerCost:
    """A block of one resolution with one mixer, for one image; the mean of both where they differ.

    Attributes:
        name: The mixer; or a control, the recipe's own mixer in a block that saves otherwise.
        resolution: Side of the map.
        parameters: Parameters of the mixer alone, in the second block.
        multiply_adds: Multiply-adds (MACs) of the mixer alone, in the second block.
        forward: Median seconds of the block's forward pass without autograd.
        step: Median seconds of the block's forward and backward pass.
        kept: Bytes that autograd keeps for the backward pass of the block.
    """

    name: str
    resolution: int
    parameters: int
    multiply_adds: int
    forward: float
    step: float
    kept: int


@dataclass(frozen=True)
class Network:
    """A whole G with a choice of mixers; times and memory for one image.

    Attributes:
        chosen: The mixer of each resolution from 16 px up.
        attention_to: Largest resolution that has the recipe's own mixer.
        forward: Seconds of a forward pass without autograd.
        step: Seconds of a forward and backward pass.
        kept: Bytes that the blocks keep for the backward pass.
    """

    chosen: dict[int, str]
    attention_to: int
    forward: float
    step: float
    kept: int


@dataclass(frozen=True)
class MixerTable:
    """All measurements.

    Attributes:
        costs: A block of each mixer at each resolution.
        own: The recipe's network.
        networks: Networks with ever more levels exchanged, the largest first.
        too_large: Resolutions and names of blocks that do not fit into memory.
    """

    costs: list[MixerCost]
    own: Network
    networks: list[Network]
    too_large: list[tuple[int, str]] = field(default_factory=list)

    @property
    def front(self) -> list[Network]:
        """The Pareto front of sampling time and attention kept: each is faster than all that keep more attention."""
        front = [self.own]
        for network in self.networks:
            if network.forward < front[-1].forward:
                front.append(network)
        return front

    def within(self, budget: float) -> Network | None:
        """The network with the most attention whose forward takes at most `budget` of the recipe's own; or None."""
        return next((each for each in self.front if each.forward <= budget * self.own.forward), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "blocks": [asdict(cost) for cost in self.costs],
            "own": asdict(self.own),
            "front": [asdict(network) for network in self.front],
            "too_large": [{"resolution": side, "name": name} for side, name in self.too_large],
        }


def measure_mixers(
    recipe: Recipe, device: torch.device, console: Console, only: Sequence[str] | None = None
) -> MixerTable:
    """Measure every mixer, and what saves without one, at each resolution from 16 px up; and a whole G.

    Args:
        recipe: The recipe.
        device: Device of the blocks.
        console: Shows what is measured.
        only: Mixers to measure beside the recipe's own; by default all, and the controls.

    Raises:
        UsageError: there is no such mixer.
    """
    config = recipe.model
    for name in only or ():
        if name not in MIXERS:
            raise UsageError(f"--only: no mixer {name!r}{did_you_mean(name, MIXERS)}", f"Mixers: {', '.join(MIXERS)}.")
    sides = [side for side in config.resolutions if side >= 16]
    costs: list[MixerCost] = []
    too_large: list[tuple[int, str]] = []
    for side in sides:
        wanted = (*MIXERS, *CONTROLS) if only is None else [config.mixer_at(side), *only]
        names = [name for name in dict.fromkeys(wanted) if _fits(recipe, name, side)]
        console.say(f"measuring {len(names)} mixers at {side} px")
        works = _works_that_fit(config, side, names, device)
        too_large += [(side, name) for name in names if name not in works]
        costs += _measure_level(works, side, device)
    console.say("measuring the whole generator")
    own = _own_network(config, costs, sides, device)
    return MixerTable(costs, own, exchanged(costs, own), too_large)


def _section_of(config: ModelSection, name: str, side: int) -> ModelSection:
    """The [model] section with a mixer or a control at a resolution."""
    if name in CONTROLS:
        return config.model_copy(update=CONTROLS[name](config, side))
    return with_mixers(config, {side: name})


def _fits(recipe: Recipe, name: str, side: int) -> bool:
    config = recipe.model
    if name in MIXERS and not MIXERS[name].works_at(side):
        return False
    if name == "2 heads" and config.heads_at(side) == 2:
        return False
    section = _section_of(config, name, side)
    try:
        # A pruned recipe, or one with fewer heads of keys, may not have it.
        Recipe.model_validate(recipe.model_dump() | {"model": section.model_dump()})
        with torch.device("meta"):
            Block(section, side, config.width_at(side), INDEX)
    except (SwincliError, ValueError):  # it does not divide these channels or heads
        return False
    return True


def with_mixers(config: ModelSection, chosen: dict[int, str]) -> ModelSection:
    """The [model] section with these mixers at these resolutions, and its own at all others."""
    return config.model_copy(update={"mixer": mixers_with(config, chosen)})


def _works_that_fit(
    config: ModelSection, side: int, names: Sequence[str], device: torch.device
) -> dict[str, _BlockWork]:
    """A block for each mixer or control at one resolution, without those that do not fit into memory.

    All have the same input: at 1024 px, one for each would take more memory than a block.
    """
    x = torch.randn(1, side, side, config.width_at(side), device=device)
    w = torch.randn(1, config.latent_dim, device=device)
    works = {}
    for name in names:
        try:
            work = _BlockWork(_section_of(config, name, side), side, x, w)
            work.forward()
            work.step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            works[name] = work
    return works


def _measure_level(works: dict[str, _BlockWork], side: int, device: torch.device) -> list[MixerCost]:
    """Costs of the mixers at one resolution; they take turns, so that a disturbance meets all alike."""
    if not works:
        return []
    forward = _in_turn({name: work.forward for name, work in works.items()}, device)
    step = _in_turn({name: work.step for name, work in works.items()}, device)
    return [
        MixerCost(
            name,
            side,
            sum(value.numel() for value in work.blocks[-1].attention.parameters()),
            mixer_at(work.config, side).multiply_adds(work.config, side),
            forward[name] / len(work.blocks),
            step[name] / len(work.blocks),
            work.kept_bytes(),
        )
        for name, work in works.items()
    ]


class _BlockWork:
    """A block with one mixer, or both blocks where they differ, and what is timed of them."""

    def __init__(self, config: ModelSection, side: int, x: Tensor, w: Tensor) -> None:
        self.config, self.x, self.w = config, x, w
        indices = (0, INDEX) if mixer_at(config, side).blocks_differ else (INDEX,)
        self.blocks = [Block(config, side, config.width_at(side), index).to(x.device) for index in indices]

    def forward(self) -> None:
        with torch.inference_mode():
            for block in self.blocks:
                block(self.x, self.w)

    def step(self) -> None:
        for block in self.blocks:
            self._step_of(block)

    def kept_bytes(self) -> int:
        """What autograd keeps of a block, on average."""
        return sum(_kept_bytes(partial(self._step_of, block)) for block in self.blocks) // len(self.blocks)

    def _step_of(self, block: Block) -> None:
        block(self.x.detach().requires_grad_(), self.w).sum().backward()


def _in_turn(works: dict[str, Callable[[], None]], device: torch.device) -> dict[str, float]:
    """Median seconds of each work, after one run of each to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        _timed(work, device)
    first = sum(_timed(work, device) for work in works.values()) / len(works)
    rounds = max(FEWEST, min(MOST, int(SECONDS_PER_BLOCK / max(first, 1e-6))))
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(_timed(work, device))
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def _timed(work: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - start


def _kept_bytes(work: Callable[[], None]) -> int:
    """Bytes of all that autograd keeps for the backward pass, each memory once, without parameters."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return sum(sizes.values())


class _WholeWork:
    """A whole G, and what is timed of it."""

    def __init__(self, config: ModelSection, device: torch.device) -> None:
        self.generator = Generator(config).to(device)
        self.z = torch.randn(1, config.latent_dim, device=device)
        self.labels = unknown_labels(config, 1, device)

    def forward(self) -> None:
        with torch.inference_mode():
            self.generator(self.z, self.labels)

    def step(self) -> None:
        self.generator(self.z, self.labels).sum().backward()


def measured_share(recipe: Recipe, network: Network, device: torch.device) -> float:
    """Sampling time of a whole G with the mixers of a network, as a share of the recipe's own, timed in turn."""
    config = recipe.model
    sections = {"own": config, "chosen": with_mixers(config, network.chosen)}
    works = {name: _WholeWork(section, device).forward for name, section in sections.items()}
    seconds = _in_turn(works, device)
    return seconds["chosen"] / seconds["own"]


def _own_network(config: ModelSection, costs: list[MixerCost], sides: list[int], device: torch.device) -> Network:
    whole = _WholeWork(config, device)
    seconds = _in_turn({"forward": whole.forward}, device) | _in_turn({"step": whole.step}, device)
    chosen = {side: config.mixer_at(side) for side in sides}
    kept = sum(2 * cost.kept for cost in costs if chosen[cost.resolution] == cost.name)
    return Network(chosen, config.size, seconds["forward"], seconds["step"], kept)


def _is_choice(name: str) -> bool:
    return name in MIXERS and not MIXERS[name].is_floor


def exchanged(costs: list[MixerCost], own: Network) -> list[Network]:
    """Networks with the fastest mixer at the largest map, at the two largest, and so on.

    The recipe's own mixer may be the fastest, also one that is not chosen otherwise. A time is the whole generator's,
    with the blocks that were measured in place of its own. If disturbances made these slower than the whole, it is the
    whole's in the proportion of the blocks.
    """
    by_place = {(cost.resolution, cost.name): cost for cost in costs}
    networks, chosen = [], dict(own.chosen)
    blocks = [cost for cost in costs if own.chosen[cost.resolution] == cost.name]
    forward, of_forward = _with_blocks(own.forward, [cost.forward for cost in blocks])
    step, of_step = _with_blocks(own.step, [cost.step for cost in blocks])
    kept = own.kept
    for side in sorted(own.chosen, reverse=True):
        before = by_place.get((side, own.chosen[side]))
        candidates = [cost for cost in costs if cost.resolution == side and _is_choice(cost.name)]
        if before is None:
            continue
        fastest = min([before, *candidates], key=lambda cost: cost.forward)
        chosen = chosen | {side: fastest.name}
        forward += 2 * (fastest.forward - before.forward)
        step += 2 * (fastest.step - before.step)
        kept += 2 * (fastest.kept - before.kept)
        networks.append(Network(chosen, side // 2, forward * of_forward, step * of_step, kept))
    return networks


def _with_blocks(whole: float, blocks: Sequence[float]) -> tuple[float, float]:
    """The larger of a generator's time and twice its blocks', and the factor from it to the generator's."""
    larger = max(whole, 2 * sum(blocks))
    return larger, whole / larger
