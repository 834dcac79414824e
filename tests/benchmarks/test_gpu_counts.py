"""What the code asks of a GPU, counted without one: upper bounds, on networks small enough to be counted at once."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from swincli.ops.constants import cached_constant
from swincli.recipe import Recipe

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ("model.size=16", "model.latent_dim=24", "model.mapping_layers=1", "model.g_width=32", "model.d_width=16")

BOUNDS = {  # launches, blocking copies, queued copies, reads by the host
    "rest": (5, 0, 2, 1),
    "D": (763, 0, 0, 0),
    "R1": (249, 0, 0, 0),
    "G": (546, 0, 0, 0),
}
"""Most that a part of a step may have, with bCR; "rest" is what is outside the phases. Lower them as code improves."""
MIXERS = {  # launches forward and backward, at 16 px
    "double": (10, 19),
    "single": (10, 19),
    "grid": (28, 60),
    "na": (50, 127),
    "na-all": (50, 127),
    "dw7": (1, 1),
    "dw7+1x1": (4, 4),
    "sepconv": (5, 6),
    "gnconv2": (7, 27),
    "gnconv3": (9, 34),
    "pool": (2, 3),
    "identity": (0, 0),
    "random": (1, 2),
    "kv2": (46, 97),
    "strided": (14, 21),
    "axial": (51, 80),
    "latent": (61, 131),
    "latent-kmeans": (63, 132),
}
"""Most that a token mixer may have; none may wait for the device."""
KEPT = {
    "G fp32": (6_403_008, 0),
    "G bf16": (4_043_712, 0),
    "D fp32": (161_188, 0),
    "D bf16": (104_484, 0),
}
"""Most bytes that a forward may keep for backward, and of attention weights among them."""
COMPILED = {"graphs": 13, "dynamic": 0, "breaks": 0, "skipped": 0}
"""Most that D's phase may give to the compiler."""
FUSED = {"D": (168, 263), "G": (323, 138)}
"""Most launches of a compiled phase, of its graphs and outside them."""

WHOLE = {  # recipe, with bCR: launches of D, R1, G and blocking copies, reads by the host in a step without R1
    ("ffhq256", False): (966, 544, 1409, 0, 1),
    ("ffhq256", True): (1582, 544, 1409, 0, 1),
    ("ffhq1024", False): (1245, 700, 1906, 0, 1),
}
"""The same of the published networks."""
HYBRIDS = {"ffhq256-hybrid": (926, 1291), "ffhq1024-hybrid": (1171, 1627)}
"""Launches of D and G of the recipes with convolutions at high resolutions."""
WHOLE_KEPT = {  # GiB of G in bf16, and of attention weights among them
    "ffhq256": (3.07, 0.0),
    "ffhq1024": (2.82, 0.0),
}


def benchmark(name: str) -> ModuleType:
    """A module of the benchmarks folder."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    return importlib.import_module(name)


def small_recipe(*settings: str) -> Recipe:
    made: Recipe = benchmark("counted_steps").counted_recipe("ffhq256", 4, *SMALL, *settings)
    return made


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """Counts of one step with bCR by phase."""
    counted: dict[str, Any] = benchmark("counted_steps").count_step(small_recipe())
    return counted


@pytest.mark.parametrize("part", BOUNDS)
def test_a_step_asks_for_no_more_than_before(parts: dict[str, Any], part: str) -> None:
    found = parts[part].totals()
    bounds = dict(zip(found, BOUNDS[part], strict=True))
    assert all(found[name] <= bounds[name] for name in found), f"{part}: {found}, allowed are {bounds}"
    assert set(parts) == set(BOUNDS)


def test_a_graph_is_one_launch_and_its_input_one_copy() -> None:
    """Of the host: with `run.cuda_graphs`, whatever the networks, a phase is two launches."""
    parts = benchmark("counted_steps").count_step(small_recipe("loss.bcr_real=0", "loss.bcr_fake=0"), graphed=True)
    assert {name: counts.totals()["launches"] for name, counts in parts.items()} == {"rest": 5, "D": 2, "R1": 2, "G": 2}
    assert all(not counts.blocking and not counts.waits for name, counts in parts.items() if name != "rest")


def test_mixers_ask_for_no_more_than_before() -> None:
    found = benchmark("mixer_counts").count_mixers(small_recipe(), 16)
    assert found.keys() == MIXERS.keys()
    for name, (forward, backward) in MIXERS.items():
        counts = [found[name][part].totals() for part in ("forward", "backward")]
        assert counts[0]["launches"] <= forward, name
        assert counts[1]["launches"] <= backward, name
        assert not any(each["blocking_copies"] or each["host_waits"] for each in counts), name


@pytest.mark.slow
@pytest.mark.parametrize("name", HYBRIDS)
def test_the_hybrid_networks_ask_for_no_more_than_before(name: str) -> None:
    steps = benchmark("counted_steps")
    parts = steps.count_step(steps.counted_recipe(name, steps.CASES[name.removesuffix("-hybrid")], *steps.BCR[False]))
    found = [parts[part].totals()["launches"] for part in ("D", "G")]
    assert all(count <= most for count, most in zip(found, HYBRIDS[name], strict=True)), found


@pytest.mark.slow
def test_no_more_is_kept_for_the_backward_pass_than_before() -> None:
    found = benchmark("kept_for_backward").count_kept(small_recipe())
    assert found.keys() == KEPT.keys()
    for name, (kept, attention) in KEPT.items():
        assert found[name]["kept"] <= kept, name
        assert found[name]["attention"] <= attention, name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bcr"), WHOLE)
def test_the_published_networks_ask_for_no_more_than_before(name: str, bcr: bool) -> None:
    steps = benchmark("counted_steps")
    parts = steps.count_step(steps.counted_recipe(name, steps.CASES[name], *steps.BCR[bcr]))
    every = [parts[part].totals() for part in ("rest", "D", "G")]
    found = [parts[part].totals()["launches"] for part in ("D", "R1", "G")]
    found += [sum(totals[kind] for totals in every) for kind in ("blocking_copies", "host_waits")]
    assert all(count <= most for count, most in zip(found, WHOLE[name, bcr], strict=True)), found


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE_KEPT)
def test_the_published_generators_keep_no_more_than_before(name: str) -> None:
    recipe = benchmark("counted_steps").counted_recipe(name, benchmark("counted_steps").CASES[name])
    found = benchmark("kept_for_backward").count_kept(recipe)["G bf16"]
    most, attention = WHOLE_KEPT[name]
    assert found["kept"] <= most * 2**30, found
    assert found["attention"] <= attention * 2**30, found


@pytest.mark.slow
def test_the_compiler_is_given_no_more_than_before() -> None:
    plain = small_recipe("loss.bcr_real=0", "loss.bcr_fake=0")
    found = benchmark("compile_counts").count_compiled(plain, ("D",))
    assert all(found[name] <= most for name, most in COMPILED.items()), found


@pytest.mark.slow  # a minute of inductor
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # what the compiler itself imports
def test_the_compiler_makes_no_more_kernels_than_before() -> None:
    found = benchmark("fused_counts").count_fused(small_recipe("loss.bcr_real=0", "loss.bcr_fake=0"))
    for name, (of_graphs, outside) in FUSED.items():
        assert found[name]["of_graphs"] <= of_graphs, found
        assert found[name]["outside_graphs"] <= outside, found
        assert 0 < found[name]["library_calls"] < found[name]["launches"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # what the compiler itself imports
def test_kernels_are_those_after_fusion() -> None:
    """A chain of element-wise operations is one kernel, a product one call."""
    counts, fused = benchmark("fused_counts"), benchmark("fused_counts").Fused()
    with benchmark("compile_counts").fresh_compiler(), counts.made_up_card(), counts._CountingMode(fused):
        compiled = torch.compile(lambda x: (x.sin() * 2 + 1) @ x, backend=fused.backend)
        x = torch.zeros(8, 8, requires_grad=True)
        for fused.phase in ("first", "second"):
            out = compiled(x).neg()  # one operation outside of the graph
        fused.phase = "backward"
        out.sum().backward()
    assert (fused.kernels["second"], fused.eager["second"]) == (2, 1)
    assert fused.kernels["backward"] == 3  # two products, and one kernel for what surrounds them
    assert fused.kernels["first"] == fused.kernels["second"]


def test_copies_launches_and_reads_are_told_apart() -> None:
    modes = benchmark("dispatch_counts")
    with modes.counting() as parts:
        x = torch.ones(4, 4).to("meta")
        torch.tensor([1.0], device="meta")
        torch.ones(2).to("meta", non_blocking=True)
        with parts.part("reads"):
            y = (x.view(2, 8).t() * 2)[torch.arange(2)]  # a product, a gather, and a copy of the indices
            assert y.sum().item() == 1.0
            assert y.sum(0).tolist() == [0.0, 0.0]
    assert parts.counts["rest"].totals() == {"launches": 0, "blocking_copies": 2, "queued_copies": 1, "host_waits": 0}
    assert parts.counts["reads"].totals() == {"launches": 4, "blocking_copies": 1, "queued_copies": 0, "host_waits": 2}


def test_cached_constants_are_real_whoever_asks_first() -> None:
    @cached_constant
    def ones(side: int, *, device: torch.device | None = None) -> torch.Tensor:
        return torch.ones(side, device=device)

    with FakeTensorMode(allow_non_fake_inputs=True):
        first = ones(3)
    assert type(first) is torch.Tensor
    assert first.tolist() == [1.0, 1.0, 1.0]


def test_figures_are_printed_kept_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = benchmark("gpu_counts")
    monkeypatch.setattr(command, "WORKS", {"kept": lambda title, _: {f"{title}, G bf16": {"kept": 2**30}}})
    earlier, now = tmp_path / "earlier.json", tmp_path / "now.json"
    earlier.write_text(json.dumps({"rows": {"ffhq256, G bf16": {"kept": 2**31}}}))
    arguments = ["--only", "kept", "--json", str(now), "--compare", str(earlier)]
    monkeypatch.setattr(sys, "argv", ["gpu_counts.py", *arguments])
    command.main()
    assert "1.00 GiB   was 2.00 GiB" in capsys.readouterr().out
    assert json.loads(now.read_text())["rows"]["ffhq256, G bf16"] == {"kept": 2**30}
    monkeypatch.setattr(sys, "argv", ["gpu_counts.py", "--markdown", *arguments])
    command.main()
    assert "| ffhq256, G bf16 | kept | 2.00 GiB | 1.00 GiB |" in capsys.readouterr().out
