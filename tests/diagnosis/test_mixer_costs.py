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
from swincli.diagnosis.mixer_report import network_for, write_recipe
from swincli.errors import UsageError
from swincli.model.mixers.registry import MIXERS
from swincli.recipe import Recipe, load_recipe
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


def test_the_recipe_extends_the_measured_one(recipe: Recipe, tmp_path: Path) -> None:
    found = table()
    write_recipe(tmp_path / "fast.toml", "ffhq256", recipe, found, network_for(found, 0.5))
    written = load_recipe(str(tmp_path / "fast.toml"), TINY)
    assert [written.model.mixer_at(side) for side in written.model.resolutions] == ["double"] * 3 + ["single"]


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
        write_recipe(tmp_path / f"{number}.toml", str(base), pruned, found, network)
        assert load_recipe(str(tmp_path / f"{number}.toml")).model.kept_heads_at(32) == 2


def test_controls_change_one_resolution_alone() -> None:
    config = load_recipe("ffhq1024").model
    narrow = config.model_copy(update=CONTROLS["half MLP"](config, 512))
    few = config.model_copy(update=CONTROLS["2 heads"](config, 512))
    assert (narrow.hidden_at(512), narrow.hidden_at(256)) == (config.hidden_at(512) // 2, config.hidden_at(256))
    assert (few.heads_at(512), few.heads_at(1024), few.heads_at(64)) == (2, 4, config.heads_at(64))
    assert all(change(config, 512).keys() <= ModelSection.model_fields.keys() for change in CONTROLS.values())


def test_the_command_prints_and_writes(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixer_costs, "measure_mixers", lambda *_: table())
    sets = [part for key in TINY for part in ("--set", key)]
    command = ["doctor", "ffhq256", *sets, "--mixers", "--budget", "0.5", "--write", str(tmp_path / "a.toml")]
    assert run([*command, "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert '0.50 of the sampling time: model.mixer = {"32" = "single"}' in out
    assert "0.48" in out
    assert run([*command, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mixers"]["chosen"] == {"16": "double", "32": "single"}
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
