"""`doctor --mixers`: the choice of mixers from measured times, and the recipe that is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from swincli.commands.app import run
from swincli.console import Console
from swincli.diagnosis import mixer_costs
from swincli.diagnosis.mixer_costs import CONTROLS, MixerCost, MixerTable, Network, exchanged, measure_mixers
from swincli.diagnosis.mixer_report import NOTE, Choice, choice_of, mixer_report, network_for, write_recipe
from swincli.diagnosis.report import render_lines
from swincli.errors import UsageError
from swincli.model.generator import Block
from swincli.model.mixers.registry import MIXERS
from swincli.recipe import Recipe, load_recipe
from swincli.recipe.loading import load_with_warnings
from swincli.recipe.schema import ModelSection

Capture = pytest.CaptureFixture[str]
TINY = ["model.size=32", "model.g_channels=[16,16,16,8]", "model.d_channels=[4,4,4,4]", "model.latent_dim=8"]


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("ffhq256", [*TINY, "model.mapping_layers=1"])


def cost(name: str, side: int, forward: float) -> MixerCost:
    return MixerCost(name, side, 10, 100, forward, 3 * forward, int(1000 * forward))


def table() -> MixerTable:
    costs = [cost("double", 16, 1.0), cost("single", 16, 0.9), cost("double", 32, 4.0), cost("single", 32, 1.0)]
    own = Network({16: "double", 32: "double"}, 32, 12.0, 36.0, 10_000)
    return MixerTable(costs, own, exchanged(costs, own))


def test_the_largest_maps_change_first_and_the_budget_keeps_the_most_attention() -> None:
    found = table()
    assert [network.chosen for network in found.front] == [
        {16: "double", 32: "double"},
        {16: "double", 32: "single"},
        {16: "single", 32: "single"},
    ]
    assert [network.forward for network in found.front] == pytest.approx([12.0, 6.0, 5.8])
    assert [network.kept for network in found.front] == [10_000, 4_000, 3_800]
    assert network_for(found, 0.5).attention_to == 16
    assert network_for(found, 1.0) == found.own
    with pytest.raises(UsageError, match=r"--budget 0\.3: the fastest mixers take 0\.48 of the time"):
        network_for(found, 0.3)
    with pytest.raises(UsageError, match=r"the fastest mixers of --only take 0\.48") as raised:
        network_for(found, 0.3, some=True)
    assert raised.value.hint == "Measure the others too, without --only."


def test_blocks_that_took_longer_than_the_whole_are_shares_of_it() -> None:
    """As on a busy machine: no network then takes less than nothing."""
    costs = [cost("double", 16, 1.0), cost("dw7", 16, 0.5), cost("double", 32, 4.0), cost("dw7", 32, 0.1)]
    own = Network({16: "double", 32: "double"}, 32, 5.0, 12.0, 10_000)
    networks = exchanged(costs, own)
    assert [network.forward for network in networks] == pytest.approx([5 * 2.2 / 10, 5 * 1.2 / 10])
    assert [network.step for network in networks] == pytest.approx([12 * 6.6 / 30, 12 * 3.6 / 30])
    assert [network.kept for network in networks] == [2_200, 1_200]


def test_the_own_mixer_stays_where_it_is_the_fastest() -> None:
    costs = [cost("identity", 32, 0.1), cost("dw7", 32, 0.3), cost("double", 16, 1.0), cost("dw7", 16, 0.5)]
    own = Network({16: "double", 32: "identity"}, 32, 3.0, 9.0, 3_000)
    found = MixerTable(costs, own, exchanged(costs, own))
    assert [network.chosen[32] for network in found.networks] == ["identity", "identity"]
    assert found.front == [own, found.networks[1]]
    assert found.front[1].forward == pytest.approx(2.0)


@pytest.mark.parametrize("own", ['"single"', '{"16" = "single", "64" = "dw7"}'])
def test_the_recipe_extends_the_measured_one_and_names_all_its_mixers(own: str, tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    base.write_text(f'extends = "ffhq256"\n[model]\nsize = 32\nmixer = {own}\n')
    recipe = load_recipe(str(base))
    network = Network({16: "single", 32: "dw7"}, 16, 1.0, 1.0, 0)
    write_recipe(tmp_path / "fast.toml", str(base), recipe, Choice(network, {32: "dw7"}, 0.5, 0.4))
    model = load_recipe(str(tmp_path / "fast.toml")).model
    assert [model.mixer_at(side) for side in (4, 8)] == [recipe.model.mixer_at(side) for side in (4, 8)]
    assert [model.mixer_at(side) for side in (16, 32)] == ["single", "dw7"]
    assert load_with_warnings(str(tmp_path / "fast.toml")).warnings == []
    head = (tmp_path / "fast.toml").read_text()
    assert "# Sampling took 0.40 of the time" in head
    assert "By the sum of its blocks it was 0.50." in head


def test_a_recipe_with_overrides_is_written_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(mixer_costs, "measure_mixers", lambda *_: table())
    monkeypatch.setattr(mixer_costs, "measured_share", lambda *_: 0.7)
    base, written = tmp_path / "base.toml", tmp_path / "fast.toml"
    base.write_text('extends = "ffhq256"\n[model]\nmixer = {"256" = "dw7"}\n[ema]\nramp = 0.1\n')
    settings = [*TINY, "model.mapping_layers=1", 'model.mixer={"8"="single"}', "ema.ramp=null"]
    sets = [part for key in settings for part in ("--set", key)]
    command = ["doctor", str(base), *sets, "--data", "store", "--mixers", "--budget", "0.5", "--write", str(written)]
    assert run([*command, "--device", "cpu"]) == 0
    found, measured = load_recipe(str(written)), load_recipe(str(base), [*settings, "data.path=store"])
    mixers = {"4": "double", "8": "single", "16": "double", "32": "single"}
    assert found.model == measured.model.model_copy(update={"mixer": mixers})
    assert found == measured.model_copy(update={"model": found.model})
    assert "the whole generator took 0.70" in " ".join(capsys.readouterr().err.split())


def test_a_budget_out_of_reach_still_prints_the_tables(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixer_costs, "measure_mixers", lambda *_: table())
    sets = [part for key in TINY for part in ("--set", key)]
    command = ["doctor", "ffhq256", *sets, "--mixers", "--budget", "0.1", "--device", "cpu"]
    assert run(command) == 2
    out, err = capsys.readouterr()
    assert "single at 32" in out
    assert "error: --budget 0.1: the fastest mixers take 0.48" in err
    assert run([*command, "--json"]) == 2
    assert len(json.loads(capsys.readouterr().out)["mixers"]["front"]) == 3


@pytest.mark.parametrize("measured", ["base.toml", "middle.toml", "top.toml"])
def test_what_the_measured_recipe_is_made_of_is_not_replaced(measured: str, tmp_path: Path, capsys: Capture) -> None:
    base = tmp_path / "base.toml"
    base.write_text(f'{NOTE}\nextends = "ffhq256"\n')
    (tmp_path / "middle.toml").write_text('extends = "base.toml"\n')
    (tmp_path / "top.toml").write_text('extends = "middle.toml"\n')
    command = ["doctor", str(tmp_path / measured), "--mixers", "--budget", "0.8", "--write", str(base), "--force"]
    assert run([*command, "--device", "cpu"]) == 2
    assert "is made of this file" in " ".join(capsys.readouterr().err.split())
    assert base.read_text().startswith(NOTE)


def test_blocks_that_differ_are_both_measured() -> None:
    """Only the second block of a resolution has latents."""
    recipe = load_recipe("ffhq256", [*TINY, "model.mapping_layers=1"])
    config = recipe.model.model_copy(update={"mixer": "latent"})
    x, w = torch.randn(1, 16, 16, config.width_at(16)), torch.randn(1, config.latent_dim)
    work = mixer_costs._BlockWork(config, 16, x, w)
    kept = [
        mixer_costs._kept_bytes(lambda block=block: block(x.requires_grad_(), w).sum().backward())  # type: ignore[misc]
        for block in (Block(config, 16, config.width_at(16), index) for index in (0, 1))
    ]
    assert kept[0] < kept[1]
    (of_latent,) = mixer_costs._measure_level({"latent": work}, 16, torch.device("cpu"))
    assert of_latent.kept == sum(kept) // 2


def test_a_block_that_does_not_fit_into_memory_is_named(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixer_costs, "SECONDS_PER_BLOCK", 0.0)
    monkeypatch.setattr(mixer_costs, "FEWEST", 1)
    step, inputs = mixer_costs._BlockWork.step, set()

    def limited(work: mixer_costs._BlockWork) -> None:
        inputs.add((work.x.data_ptr(), work.x.shape))
        if work.config.mixer_at(32) == "grid":
            raise torch.OutOfMemoryError("no memory")
        step(work)

    monkeypatch.setattr(mixer_costs._BlockWork, "step", limited)
    found = measure_mixers(recipe, torch.device("cpu"), Console(quiet=True), ["grid", "dw7"])
    assert found.too_large == [(32, "grid")]
    assert [each.name for each in found.costs if each.resolution == 32] == ["double", "dw7"]
    assert len(inputs) == 2  # one for all mixers of a level
    assert "not measured, more than the memory: grid at 32 px" in "\n".join(
        render_lines(mixer_report("ffhq256", found, "cpu"))
    )
    assert found.to_dict()["too_large"] == [{"resolution": 32, "name": "grid"}]


def test_two_whole_generators_are_timed_in_turn(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixer_costs, "SECONDS_PER_BLOCK", 0.0)
    seen = []
    monkeypatch.setattr(mixer_costs, "_timed", lambda work, _: seen.append(work.__self__.generator) or float(len(seen)))
    share = mixer_costs.measured_share(recipe, table().networks[0], torch.device("cpu"))
    assert seen == seen[:2] * 5  # warm-up, the first, and three turns
    assert [len(each.levels[-1].blocks[0].attention.halves) for each in seen[:2]] == [2, 1]
    assert share == pytest.approx(8 / 7)


def test_every_mixer_is_measured_in_a_block(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixer_costs, "SECONDS_PER_BLOCK", 0.0)
    monkeypatch.setattr(mixer_costs, "FEWEST", 1)
    found = measure_mixers(recipe, torch.device("cpu"), Console(quiet=True))
    measured = {(each.resolution, each.name) for each in found.costs}
    assert {name for side, name in measured if side == 16} >= {"double", "single"}
    assert {name for side, name in measured} <= {*MIXERS, *CONTROLS}
    assert {(32, "half MLP"), (32, "2 heads")} <= measured
    assert all(name in MIXERS for network in found.networks for name in network.chosen.values())
    assert all(each.forward > 0 and each.step > 0 and each.kept > 0 for each in found.costs)
    assert found.front[0] == found.own
    few = measure_mixers(recipe, torch.device("cpu"), Console(quiet=True), ["dw7"])
    assert {each.name for each in few.costs} == {"double", "dw7"}


def test_a_pruned_recipe_is_not_offered_mixers_that_keep_all_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixer_costs, "SECONDS_PER_BLOCK", 0.0)
    monkeypatch.setattr(mixer_costs, "FEWEST", 1)
    base = tmp_path / "pruned.toml"
    widths = "size = 32\ng_channels = [16,16,16,8]\nd_channels = [4,4,4,4]\nlatent_dim = 8\nmapping_layers = 1\n"
    base.write_text(f'extends = "ffhq256"\n[model]\n{widths}kept_heads = {{32 = 2}}\n')
    pruned = load_recipe(str(base))
    found = measure_mixers(pruned, torch.device("cpu"), Console(quiet=True), ["kv2", "grid", "dw7"])
    assert {each.name for each in found.costs if each.resolution == 32} == {"double", "dw7"}
    assert {each.name for each in found.costs if each.resolution == 16} == {"double", "dw7", "kv2", "grid"}
    for number, network in enumerate(found.networks):
        write_recipe(tmp_path / f"{number}.toml", str(base), pruned, choice_of(found, network, 1.0))
        assert load_recipe(str(tmp_path / f"{number}.toml")).model.kept_heads_at(32) == 2


def test_a_recipe_with_fewer_heads_of_keys_is_not_offered_mixers_that_have_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixer_costs, "SECONDS_PER_BLOCK", 0.0)
    monkeypatch.setattr(mixer_costs, "FEWEST", 1)
    few = load_recipe("ffhq256", [*TINY, "model.kv_heads=2"])
    found = measure_mixers(few, torch.device("cpu"), Console(quiet=True), ["na", "axial", "kv2"])
    assert {each.name for each in found.costs} == {"double", "kv2"}


def test_controls_change_one_resolution_alone() -> None:
    config = load_recipe("ffhq1024").model
    narrow = config.model_copy(update=CONTROLS["half MLP"](config, 512))
    few = config.model_copy(update=CONTROLS["2 heads"](config, 512))
    assert (narrow.hidden_at(512), narrow.hidden_at(256)) == (config.hidden_at(512) // 2, config.hidden_at(256))
    assert (few.heads_at(512), few.heads_at(1024), few.heads_at(64)) == (2, 4, config.heads_at(64))
    assert all(change(config, 512).keys() <= ModelSection.model_fields.keys() for change in CONTROLS.values())


def test_the_command_prints_and_writes(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixer_costs, "measure_mixers", lambda *_: table())
    monkeypatch.setattr(mixer_costs, "measured_share", lambda *_: 0.48)
    sets = [part for key in TINY for part in ("--set", key)]
    command = ["doctor", "ffhq256", *sets, "--mixers", "--budget", "0.5", "--write", str(tmp_path / "a.toml")]
    assert run([*command, "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert '0.48 of the sampling time (0.50 by the sum of the blocks): model.mixer = {"32" = "single"}' in out
    assert run([*command, "--device", "cpu", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["mixers"]
    assert facts["chosen"] == {"16": "double", "32": "single"}
    assert (facts["estimated"], facts["measured"]) == (0.5, 0.48)
    (tmp_path / "a.toml").write_text("[model]\n")
    assert run([*command, "--device", "cpu"]) == 1
    assert "not made by this command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--mixers"], "--mixers: need a recipe"),
        (["ffhq256", "--budget", "0.5"], "--budget: needs --mixers"),
        (["ffhq256", "--mixers", "--budget", "2"], "--budget 2: must be above 0 and at most 1"),
        (["ffhq256", "--mixers", "--write", "a.toml"], "--write: needs --budget"),
        (["ffhq256", "--mixers", "--budget", "0.5", "--write", "a.txt"], "--write a.txt: must be a .toml file"),
        (["ffhq256", "--only", "dw7"], "--only: needs --mixers"),
        (["ffhq256", "--mixers", "--only", "dw8"], "--only: no mixer 'dw8'; did you mean \"dw7\"?"),
        (["ffhq256", "--mixers", "--steps", "3"], "--steps: no training steps are measured"),
        (["ffhq256", "--mixers", "--augment", "a.png"], "--augment: draws, and --mixers measures"),
    ],
)
def test_options_that_do_not_fit(options: list[str], problem: str, capsys: Capture) -> None:
    assert run(["doctor", *options]) == 2
    assert problem in capsys.readouterr().err
