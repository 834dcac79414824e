"""Settings without effect: valid, so that older runs and models open, and warned of before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from swincli.commands.app import run
from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import Recipe, load_recipe
from swincli.recipe.idle import IDLE, idle_settings
from swincli.recipe.loading import parse_recipe
from swincli.recipe.shipped import shipped_recipes
from swincli.training import loop
from swincli.training.rehearsal import rehearse

CPU = torch.device("cpu")
Capture = pytest.CaptureFixture[str]
DIFFAUGMENT = 'size = 16\n[augment]\ntransforms = "diffaugment"\n'
NOTHING = {  # sections of a recipe that begins with [model], the key, and part of the reason
    "a fade after the run": ('[loss]\ntv = 1.0\ntv_until = "2M"\n[train]\ntotal = "1M"', "loss.tv_until", "after"),
    "a fade of no tv": ("[loss]\ntv_until = 100", "loss.tv_until", "without loss.tv"),
    "a time without an end": ("[loss]\ngamma_until = 100", "loss.gamma_until", "without loss.r1_gamma_end"),
    "a warm-up of nothing": ("[loss]\nmee_until = 100", "loss.mee_until", "without loss.mee_entropy"),
    "top-k after the run": (
        '[loss]\ntop_k = 0.9\ntop_k_every = "1M"\n[train]\ntotal = "1M"', "loss.top_k_every", "below train.total"
    ),
    "top-k after a short run": ('[loss]\ntop_k = 0.9\n[train]\ntotal = "10k"', "loss.top_k", "below train.total"),
    "top-k of all": ("[loss]\ntop_k = 0.9\ntop_k_min = 1.0", "loss.top_k_min", "all fakes"),
    "a probability of nothing": ("[augment]\np = 0.5", "augment.p", "without augment.transforms or augment.apa"),
    "transforms that never happen": (DIFFAUGMENT + "p = 0.0", "augment.p", "plain images alone"),
    "a schedule from 0 to 0": (
        DIFFAUGMENT + 'control = "scheduled"\np_end = 0.0\np_until = 100', "augment.p", "plain images alone"
    ),
    "a bound of 0": (DIFFAUGMENT + 'control = "adaptive"\np_max = 0.0', "augment.p_max", "plain images alone"),
    "APA of nothing": ("[augment]\napa = true\np = 0.0", "augment.p", "plain images alone"),
    "a speed above the run's length": (
        DIFFAUGMENT + 'control = "adaptive"\nspeed = "2M"\n[train]\ntotal = "1M"', "augment.speed", "hardly moves"
    ),
    "the default speed in a short run": (
        '[augment]\napa = true\ncontrol = "adaptive"\n[train]\ntotal = "100k"', "augment.control", "hardly moves"
    ),
    "no colour": (DIFFAUGMENT + "color = 0.0", "augment.color", "is 0"),
    "a factor of what is not used": (
        DIFFAUGMENT + 'groups = ["color"]\nmultipliers = {cutout = 0.5}', "augment.multipliers", "not in augment.groups"
    ),
    "a factor of an unused group's hue": (
        '[augment]\ntransforms = "ada"\ngroups = ["blit"]\nmultipliers = {hue = 0}', "augment.multipliers", "not in"
    ),
    "factors of 0": (
        DIFFAUGMENT + "multipliers = {color = 0, translation = 0, cutout = 0}", "augment.multipliers", "raise one"
    ),
    "a blur of nothing": ("[augment]\nblur = 0.3\nblur_until = 100", "augment.blur", "a third of a pixel"),
    "a bound of a fixed probability": (DIFFAUGMENT + "p_max = 0.5", "augment.p_max", '"adaptive"'),
    "a target of a fixed probability": (DIFFAUGMENT + "target = 0.5", "augment.target", '"adaptive"'),
    "a speed of a fixed probability": (DIFFAUGMENT + 'speed = "100k"', "augment.speed", '"adaptive"'),
    "a colour of ADA": ('[augment]\ntransforms = "ada"\ncolor = 0.5', "augment.color", '"diffaugment"'),
    "a shift of nothing": ("[augment]\ntranslation = 0.2", "augment.translation", '"diffaugment"'),
    "a hole of nothing": ("[augment]\ncutout = 0.2", "augment.cutout", '"diffaugment"'),
    "a start of no LeCam": ("[loss]\nlecam_from = 100", "loss.lecam_from", "without loss.lecam"),
    "a decay of no LeCam": ("[loss]\nlecam_decay = 0.9", "loss.lecam_decay", "without loss.lecam"),
    "noise of no zCR": ("[loss]\nzcr_sigma = 0.1", "loss.zcr_sigma", "without loss.zcr_d or loss.zcr_g"),
    "an interval of no top-k": ("[loss]\ntop_k_every = 100", "loss.top_k_every", "without loss.top_k"),
    "a bound of no top-k": ("[loss]\ntop_k_min = 0.7", "loss.top_k_min", "without loss.top_k"),
    "noise of no blend": ("[loss]\nadaptive_mix_noise = 0.1", "loss.adaptive_mix_noise", "without loss.adaptive_mix"),
    "a buffer of no entropy": ("[loss]\nmee_buffer = 64", "loss.mee_buffer", "without loss.mee_entropy"),
    "a start of no features": ("[loss]\nfeatures_from = 100", "loss.features_from", "without loss.features"),
    "heads of no features": ('feature_heads = "full"', "model.feature_heads", "without loss.features"),
    "a side of no features": ("features_side = 128", "model.features_side", "without loss.features"),
    "a side of large images": ("features_side = 128\n[loss]\nfeatures = 1.0", "model.features_side", "larger already"),
    "logistic on features": (
        'discriminator = "features"\n[loss]\nr1_gamma = 0.0', "loss.adversarial", 'made for "hinge"'
    ),
    "path length of features": (
        'discriminator = "features"\n[loss]\nr1_gamma = 0.0\nadversarial = "hinge"\npath_length = 2.0',
        "loss.path_length", "made without it",
    ),
    "a mask of no windows": ('mixer = "kv2"\nscore_mask = "gaussian"', "model.score_mask", "below 16 px only"),
    "keys of no attention": ('mixer = "dw7"\nkv_heads = 2', "model.kv_heads", "below 16 px only"),
    "windows that a mixer replaces": (
        'mixer = "grid"\nattention = "single"', "model.attention", "a mixer for every resolution"
    ),
    "a start of no windows": ('mixer = "grid"\nbias_init = "manhattan"', "model.bias_init", "below 16 px only"),
    "a start of no bias": (
        'bias_init = "manhattan"\nrelative_bias = false', "model.bias_init", "without model.relative_bias"
    ),
    "a border of no convolution": (
        'mixer = "strided"\nmixer_padding = "reflect"', "model.mixer_padding", "without a mixer of dw7"
    ),
    "style of latents": ('mixer = "latent"\nstyle = "none"', "model.mixer", "AdaIN by w"),
    "AugSelf of G alone": (DIFFAUGMENT + "[loss]\naugself_g = 0.2", "loss.augself_g", "stay random"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING)
def test_it_is_valid_and_one_warning(name: str) -> None:
    text, key, reason = NOTHING[name]
    (warning,) = idle_settings(parse_recipe(f"[model]\n{text}", "idle"))
    assert warning.startswith(f"{key}: ")
    assert reason in warning


def test_every_row_is_tested_here() -> None:
    recipes = [parse_recipe(f"[model]\n{text}", "idle") for text, _, _ in NOTHING.values()]
    assert [row.reason for row in IDLE if not any(row.applies(recipe) for recipe in recipes)] == []


@pytest.mark.parametrize(
    "text",
    [
        DIFFAUGMENT + 'groups = ["color"]\ncutout = 0.001\ntranslation = 0.001',
        DIFFAUGMENT + "translation = 0.032",
        '[augment]\ntransforms = "ada"\nmultipliers = {blit = 0, geometry = 0, color = 0, hue = 0.1}',
        '[augment]\ntransforms = "ada"\ncontrol = "fixed"\np = 0.5\nspeed = "100k"',
        "[loss]\ntop_k = 0.9\ntop_k_every = 100\n[train]\ntotal = 101",
        '[loss]\ntv = 1.0\ntv_until = "1M"\n[train]\ntotal = "1M"',
        '[loss]\nr2_gamma_end = 1.0\ngamma_until = "1M"\nmee_entropy = 1.0\nmee_until = "1M"',
        "[augment]\napa = true\np = 0.5",
        "size = 128\nfeatures_side = 128\n[loss]\nfeatures = 1.0",  # the network's own side would be larger
        "features_side = 224\n[loss]\nfeatures = 1.0",  # undoes that of a base
        "features_side = 512\n[loss]\nfeatures = 1.0",
        DIFFAUGMENT + 'control = "adaptive"\nspeed = "1M"\n[train]\ntotal = "1M"',
        DIFFAUGMENT + '[train]\ntotal = "100k"',
        '[augment]\napa = true\ncontrol = "adaptive"',
        'mixer = {default = "grid", "64" = "latent"}\nscore_mask = "gaussian"\nbias_init = "manhattan"',
        'mixer = {"256" = "sepconv"}\nmixer_padding = "circular"',
        'mixer = {"256" = "sepconv"}\nattention = "single"\nkv_heads = 2',
        'mixer = "latent"\nstyle = "cross-attention"',
    ],
)
def test_what_has_an_effect_is_not_warned_of(text: str) -> None:
    assert idle_settings(parse_recipe(f"[model]\n{text}", "good")) == []


def test_shipped_recipes_have_no_such_setting() -> None:
    assert {name: found for name in shipped_recipes() if (found := idle_settings(load_recipe(name)))} == {}


def test_validate_a_dry_run_and_the_start_of_training_warn(
    tiny_recipe: Callable[..., Recipe],
    store: Store,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path, recipe = tmp_path / "my.toml", tiny_recipe("augment.p=0.5")
    path.write_text("[augment]\np = 0.5\n")
    assert run(["recipe", "validate", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{path}: valid\n"
    rehearse(recipe, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    dry = capsys.readouterr().err
    monkeypatch.setattr(loop, "start_run", stop)
    with pytest.raises(KeyboardInterrupt):
        loop.train(recipe, store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    for text in (err, dry, capsys.readouterr().err):
        assert " ".join(text.split()).count("warning: augment.p: has no effect without") == 1
