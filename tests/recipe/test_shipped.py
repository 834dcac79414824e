"""Shipped recipes: published settings, headers, and lookup by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from swincli.recipe import load_recipe
from swincli.recipe.shipped import find_recipe, find_shipped, header_comment, shipped_folder, shipped_recipes


@dataclass(frozen=True)
class Published:
    """One recipe as published with the paper and the release, in iterations."""

    size: int
    batch: int
    iterations: int
    decay: int | None
    r1_gamma: float
    bcr: float
    flip: bool
    g_multiplier: int
    fid: str


PUBLISHED = {
    "ffhq256": Published(256, 32, 1_000_000, 775_000, 10, 10, False, 2, "2.81"),
    "celebahq256": Published(256, 32, 800_000, 500_000, 5, 10, False, 2, "3.25"),
    "church256": Published(256, 32, 1_500_000, 1_300_000, 5, 0, True, 2, "2.95"),
    "ffhq1024": Published(1024, 16, 800_000, 600_000, 10, 0, False, 1, "5.07"),
    "celebahq1024": Published(1024, 16, 800_000, None, 10, 0, False, 1, "4.43"),
}


def opening(name: str) -> str:
    return header_comment(shipped_recipes()[name])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_train_as_published(name: str) -> None:
    recipe, published = load_recipe(name), PUBLISHED[name]
    train = recipe.train
    assert train.batch == published.batch
    assert train.total == published.iterations * published.batch
    assert train.decay_from == (None if published.decay is None else published.decay * published.batch)
    assert (train.d_lr, train.g_lr) == (2e-4, 2e-4 / 4)
    assert (train.beta1, train.beta2, train.clip) == (0.0, 0.99, 5.0)
    assert (recipe.loss.r1_gamma, recipe.loss.r1_interval) == (published.r1_gamma, 16)
    assert (recipe.loss.bcr_real, recipe.loss.bcr_fake) == (published.bcr, published.bcr)
    assert recipe.augment.flip is published.flip
    assert recipe.ema.ramp is None
    decay_a_step = 0.5 ** (published.batch / recipe.ema.half_life)
    assert decay_a_step == pytest.approx(0.5 ** (32 / 10_000), rel=1e-12)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_have_the_published_networks(name: str) -> None:
    model, published = load_recipe(name).model, PUBLISHED[name]
    assert (model.size, model.g_multiplier, model.d_multiplier) == (published.size, published.g_multiplier, 2)
    assert (model.latent_dim, model.mapping_layers, model.g_width, model.d_width) == (512, 8, 512, 512)
    assert (model.g_channels, model.d_channels) == (None, None)
    assert (model.head_dim, model.min_heads, model.window, model.mlp_ratio) == (32, 4, 8, 4)
    assert (model.wavelet, model.spectral_norm, model.adain_gamma) == ("haar", True, 0.0)
    assert (model.pixel_mean, model.pixel_std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_tell_command_hardware_hours_and_fid(name: str) -> None:
    text = opening(name)
    assert f"swincli train recipes/{name}.toml" in text
    store = load_recipe(name).data.path
    assert f" {store} --resolution {PUBLISHED[name].size}\n" in text
    assert "Hardware:  8 GPUs of 32 GB each in the paper\n" in text
    assert "Hours:     not measured\n" in text
    assert f"FID:       {PUBLISHED[name].fid} published" in text
    assert f"--checkpoint runs/{name} --data {store} " in text


def test_emoji64_can_start_by_itself() -> None:
    recipe = load_recipe("emoji64")
    assert (recipe.data.path, recipe.data.source, recipe.model.size) == ("datasets/emoji64", "builtin:emoji", 64)
    text = opening("emoji64")
    assert "swincli train recipes/emoji64.toml" in text
    assert "swincli prepare-data builtin:emoji datasets/emoji64 --resolution 64" in text
    for label in ("Hardware:", "Hours:", "FID:"):
        assert f"\n{label}" in text


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_has_a_title(name: str) -> None:
    recipe = load_recipe(name)
    title = opening(name).split("\n", 1)[0]
    assert title.endswith(".")
    assert len(title) <= 110
    assert recipe.run.name is None  # a run is named by its recipe


@pytest.mark.parametrize("name", ["ffhq256", "ffhq256.toml", "recipes/ffhq256.toml"])
def test_shipped_recipes_are_found_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name) == find_shipped(name) == shipped_folder() / "ffhq256.toml"


def test_a_file_goes_before_a_shipped_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ffhq256").mkdir()
    assert find_recipe("ffhq256") == shipped_folder() / "ffhq256.toml"
    Path("ffhq256.toml").write_text("")
    assert find_recipe("ffhq256.toml") == Path("ffhq256.toml")


def test_what_is_neither_is_not_found(tmp_path: Path) -> None:
    assert find_recipe(str(tmp_path)) is None
    assert find_recipe("nowhere") is None


def test_the_header_ends_with_the_first_line_that_is_no_comment(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("# One.\n#\n#   Two.\n\n# Three.\n")
    assert header_comment(path) == "One.\n\n  Two."
    path.write_text("[model]\n# One.\n")
    assert header_comment(path) == ""


@pytest.mark.parametrize("base", ["ffhq256", "ffhq1024"])
def test_hybrids_change_the_levels_from_128_px_up_and_nothing_else(base: str) -> None:
    faithful, hybrid = load_recipe(base), load_recipe(f"{base}-hybrid")
    large = [side for side in faithful.model.resolutions if side >= 128]
    assert hybrid.model.mixer == {"default": "double", **{str(side): "dw7" for side in large}}
    assert hybrid.model.mlp_ratio == {"default": 4, **{str(side): 2 for side in large}}
    unchanged = {"mixer": faithful.model.mixer, "mlp_ratio": faithful.model.mlp_ratio}
    assert hybrid.model_copy(update={"model": hybrid.model.model_copy(update=unchanged)}) == faithful
