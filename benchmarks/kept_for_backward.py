"""Bytes that G and D keep between forward and backward, by `saved_tensors_hooks` on fake tensors that take no memory.

The fake tensors say that they are on the CPU, because autocast does not know the meta device. The operations that these
networks use are on the same lists of CUDA's and of the CPU's autocast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from counted_steps import empty_networks
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from swincli.data.store.manifest import CHANNELS
from swincli.ops import cpu_tiles
from swincli.recipe import Recipe
from swincli.training.losses.networks import Networks

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class Kept:
    """Storages that the backward pass needs, besides the weights.

    Attributes:
        windows: Numbers of positions of a window: the last two sides of attention weights.
        sizes: Bytes of each storage.
        attention: Storages of attention weights or logits.
    """

    windows: set[int]
    sizes: dict[int, int] = field(default_factory=dict)
    attention: set[int] = field(default_factory=set)
    _held: list[Tensor] = field(default_factory=list)

    def add(self, saved: Tensor) -> Tensor:
        """Note a saved tensor; the hook that packs it."""
        storage = saved.untyped_storage()
        self.sizes[storage._cdata] = storage.nbytes()
        if (
            saved.dim() != 4
            and saved.dim() > 2
            and saved.shape[-1] == saved.shape[-2]
            and saved.shape[-1] in self.windows
        ):
            self.attention.add(storage._cdata)
        self._held.append(saved)  # so that no other storage gets its address
        return saved

    def without(self, network: nn.Module) -> dict[str, int]:
        """Bytes without those of the network's parameters and buffers."""
        own = {value.untyped_storage()._cdata for value in network.state_dict(keep_vars=True).values()}
        sizes = {address: size for address, size in self.sizes.items() if address not in own}
        attention = sum(size for address, size in sizes.items() if address in self.attention)
        return {"kept": sum(sizes.values()), "attention": attention}


def count_kept(recipe: Recipe) -> dict[str, dict[str, int]]:
    """Bytes that one forward of a batch keeps, by network and precision, and how many of them are attention weights."""
    found = {}
    model, batch = recipe.model, recipe.train.batch
    for name, precision in PRECISIONS.items():
        with FakeTensorMode(allow_non_fake_inputs=True), gpu_path():
            generator, discriminator = empty_networks(recipe, torch.device("cpu"))
            networks = Networks(generator, discriminator, precision)
            images = torch.zeros(batch, CHANNELS, model.size, model.size)
            with _keeping(recipe) as of_g:
                fakes = networks.generate(torch.zeros(batch, model.latent_dim), None)
            with _keeping(recipe) as of_d:
                logits = networks.judge(images, None)
            found[f"G {name}"], found[f"D {name}"] = of_g.without(generator), of_d.without(discriminator)
            del fakes, logits
    return found


@contextmanager
def _keeping(recipe: Recipe) -> Iterator[Kept]:
    kept = Kept({recipe.model.window_at(side) ** 2 for side in recipe.model.resolutions})
    hooks = torch.autograd.graph.saved_tensors_hooks

    def inner_hooks(pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> Any:
        """Hooks of swincli hide those around them; what they leave is noted too."""
        return hooks(lambda saved: kept.add(packed) if isinstance(packed := pack(saved), Tensor) else packed, unpack)

    with (
        hooks(kept.add, lambda saved: saved),
        mock.patch("swincli.ops.checkpointing.torch.autograd.graph.saved_tensors_hooks", inner_hooks),
    ):
        yield kept


@contextmanager
def gpu_path() -> Iterator[None]:
    """In the block, the CPU takes a GPU's path, in compiled code too, where `as_on_a_gpu` does nothing."""
    asked = cpu_tiles.on_gpu_path
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("swincli.") and getattr(module, "on_gpu_path", None) is asked:
                stack.enter_context(mock.patch.object(module, "on_gpu_path", _always))
        yield


def _always(_: Tensor) -> bool:
    """In place of `on_gpu_path`; a mock would end the compiler's graphs."""
    return True
