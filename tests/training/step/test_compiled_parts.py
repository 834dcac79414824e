"""What torch.compile is given: small graphs of static shapes, shared by equal parts, none given up, no breaks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from swincli.errors import ResourceError
from swincli.model.blocks.upsample import Upsample
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Block, Generator
from swincli.model.meta_init import meta_init
from swincli.model.mixers.registry import MIXERS
from swincli.recipe.schema import ModelSection, RunSection
from swincli.system.cache import compiled_code_folder
from swincli.system.distributed import Processes
from swincli.training.step import engine


class Counting:
    """A backend of the compiler that runs graphs as they are, and counts them."""

    def __init__(self) -> None:
        self.graphs = self.dynamic = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:  # noqa: ARG002
        self.graphs += 1
        values = [node.meta.get("example_value") for node in graph.graph.nodes if node.op == "placeholder"]
        self.dynamic += any(isinstance(value, torch.SymInt) for value in values)
        forward: Callable[..., Any] = graph.forward
        return forward


@pytest.fixture
def compiler() -> Iterator[Any]:
    """Dynamo without what it has compiled, and an error if it gives a function up."""
    import torch._dynamo

    dynamo: Any = torch._dynamo
    limits = {name: getattr(dynamo.config, name) for name in ("recompile_limit", "accumulated_recompile_limit")}
    dynamo.reset()
    dynamo.utils.counters.clear()
    with dynamo.config.patch(fail_on_recompile_limit_hit=True, **limits):
        yield dynamo
    dynamo.reset()


def phases(generator: nn.Module, discriminator: nn.Module, z: Tensor) -> None:
    """The passes of D's and of G's phase: images without gradients, two of D, then both networks."""
    generator.requires_grad_(False)
    discriminator.requires_grad_(True)
    with torch.no_grad():
        images = generator(z)
    (discriminator(images).sum() + discriminator(torch.zeros_like(images)).sum()).backward()
    generator.requires_grad_(True)
    discriminator.requires_grad_(False)
    discriminator(generator(z)).sum().backward()


@pytest.mark.slow
def test_graphs_are_static_and_none_is_given_up(compiler: Any) -> None:
    """At the largest size, which has the most graphs."""
    section, counting = ModelSection(size=1024, latent_dim=16, mapping_layers=1), Counting()
    with meta_init():
        generator, discriminator = Generator(section), make_discriminator(section)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for network in (generator, discriminator):
            network.to_empty(device="cpu")
            network.recompute_from = 128  # type: ignore[assignment]
        engine.compile_networks(generator, discriminator, counting)
        phases(generator, discriminator, torch.zeros(2, 16))
        first = counting.graphs
        phases(generator, discriminator, torch.zeros(2, 16))
    assert first <= 82
    assert counting.graphs == first, "the second step compiles nothing"
    assert counting.dynamic == 0
    assert not compiler.utils.counters["graph_break"]


@pytest.mark.slow
@pytest.mark.parametrize("mixer", MIXERS)
def test_blocks_of_every_mixer_compile_to_static_graphs_with_the_same_result(compiler: Any, mixer: str) -> None:
    section = ModelSection(size=16, latent_dim=16, mapping_layers=1, g_width=32, mixer=mixer)
    torch.manual_seed(0)
    generator, counting, z = Generator(section), Counting(), torch.randn(2, 16)
    expected = generator(z)
    engine.compile_networks(generator, nn.Module(), counting)
    found = generator(z)
    found.sum().backward()
    first = counting.graphs
    generator(z).sum().backward()
    assert counting.graphs == first > 0, "the second step compiles nothing"
    assert counting.dynamic == 0
    assert not compiler.utils.counters["graph_break"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_parts_that_are_compiled_and_the_limit_of_graphs(compiler: Any) -> None:
    section = ModelSection(size=16, latent_dim=16, mapping_layers=1, g_width=16, d_width=8)
    generator, discriminator = Generator(section), make_discriminator(section)
    names = list(generator.state_dict()), list(discriminator.state_dict())
    engine.compile_networks(generator, discriminator, "eager")
    compiled = {type(module) for module in generator.modules() if module._compiled_call_impl is not None}
    assert compiled == {Block, Upsample}
    methods = engine.compiled_methods(generator, discriminator)
    assert {name for _, name in methods} == {"map", "coefficients", "halve"}
    assert (list(generator.state_dict()), list(discriminator.state_dict())) == names
    assert compiler.config.recompile_limit >= 8 * 8


def test_a_compiler_that_fails_is_named(compiler: Any) -> None:  # noqa: ARG001
    def failing(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:  # noqa: ARG001
        raise RuntimeError("No working C++ compiler found\nin a long text")

    section = ModelSection(size=16, latent_dim=16, mapping_layers=1, g_width=16, d_width=8)
    generator, discriminator = Generator(section), make_discriminator(section)
    engine.compile_networks(generator, discriminator, failing)
    with pytest.raises(RuntimeError) as caught:
        generator(torch.zeros(2, 16))
    with pytest.raises(ResourceError, match=r"run\.compile: compiling failed: .*No working C\+\+ compiler found$"):
        engine.explain_compiler(caught.value)
    engine.explain_compiler(RuntimeError("something else"))


def test_compiled_code_is_kept_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "compile_networks", lambda *_: None)
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    section = ModelSection(size=16, latent_dim=16, mapping_layers=1, g_width=16, d_width=8)

    def start() -> str:
        networks = Generator(section), make_discriminator(section)
        engine.start_engine(RunSection(compile=True), *networks, torch.device("cpu"), Processes())
        return os.environ["TORCHINDUCTOR_CACHE_DIR"]

    assert start() == str(tmp_path / "compiled") == str(compiled_code_folder())
    assert (tmp_path / "compiled").is_dir()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "chosen"))
    assert start() == str(tmp_path / "chosen") == str(compiled_code_folder())
