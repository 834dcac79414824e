"""The ablation recipes: the keys that each changes, and the figures in docs/ablations.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import load_recipe
from swincli.recipe.shipped import header_comment, shipped_recipes

PAGE = (Path(__file__).parents[2] / "docs" / "ablations.md").read_text(encoding="utf-8")
ABLATIONS = [name for name in shipped_recipes() if name.startswith("ablations/")]
PLAIN = "ablations/few-plain"


def by_resolution(mixer: str, *sides: int) -> dict[str, str]:
    """A mixer at some resolutions, and double attention at the others."""
    return {"default": "double"} | {str(side): mixer for side in sides}


BASES: dict[str, tuple[str, dict[str, Any]]] = {  # recipe -> recipe to compare with, and all differing keys
    "swin-baseline": (
        "ffhq256",
        {
            "model.style": "none",
            "model.attention": "single",
            "model.position": "none",
            "model.discriminator": "plain",
            "model.g_multiplier": 1,
            "loss.bcr_real": 0.0,
            "loss.bcr_fake": 0.0,
        },
    ),
    "style-injection": ("ablations/swin-baseline", {"model.style": "adain"}),
    "double-attention": ("ablations/style-injection", {"model.attention": "double"}),
    "wavelet-discriminator": ("ablations/double-attention", {"model.discriminator": "wavelet"}),
    "sine-position": ("ablations/wavelet-discriminator", {"model.position": "spe"}),
    "larger-model": ("ablations/sine-position", {"model.g_multiplier": 2}),
    "style-adaln": ("ablations/style-injection", {"model.style": "adaln"}),
    "style-adabn": ("ablations/style-injection", {"model.style": "adabn"}),
    "style-modulated-mlp": ("ablations/style-injection", {"model.style": "modulated-mlp"}),
    "style-cross-attention": ("ablations/style-injection", {"model.style": "cross-attention"}),
    "artifacts-plain": ("ffhq1024", {"model.discriminator": "plain"}),
    "artifacts-patch": ("ffhq1024", {"model.discriminator": "patch"}),
    "artifacts-tv": ("ablations/artifacts-plain", {"loss.tv": 10.0, "loss.tv_until": 12_800_000}),
    "learned-position": ("ffhq256", {"model.position": "learned"}),
    "no-relative-bias": ("ffhq256", {"model.relative_bias": False}),
    "nearest-upsampling": ("ffhq256", {"model.upsampling": "nearest"}),
    "wavelet-db2": ("ffhq256", {"model.wavelet": "db2"}),
    "mixer-grid": ("ffhq256", {"model.mixer": "grid"}),
    "mixer-na": ("ffhq256", {"model.mixer": "na"}),
    "mixer-na-all": ("ffhq256", {"model.mixer": "na-all", "model.min_heads": 8}),
    "score-mask": ("ffhq256", {"model.score_mask": "gaussian"}),
    "manhattan-bias": ("ffhq256", {"model.bias_init": "manhattan"}),
    "mixer-kv2": ("ffhq256", {"model.mixer": "kv2", "model.window": 16}),
    "mixer-strided": ("ffhq256", {"model.mixer": "strided"}),
    "mixer-axial": ("ffhq256", {"model.mixer": by_resolution("axial", 16, 32, 64)}),
    "mixer-latent": ("ffhq256", {"model.mixer": by_resolution("latent", 32, 64, 128)}),
    "mixer-latent-kmeans": ("ffhq256", {"model.mixer": by_resolution("latent-kmeans", 32, 64, 128)}),
    "kv-heads": ("ffhq256", {"model.kv_heads": 2}),
    "mlp-ratio": ("ffhq256", {"model.mlp_ratio": {"default": 4, "128": 2, "256": 2}}),
    "heads": ("ffhq1024", {"model.heads": {"512": 2, "1024": 2}}),
    "mixer-dw7": ("ffhq256", {"model.mixer": by_resolution("dw7", 128, 256)}),
    "mixer-dw7-1x1": ("ffhq256", {"model.mixer": by_resolution("dw7+1x1", 128, 256)}),
    "mixer-sepconv": ("ffhq256", {"model.mixer": by_resolution("sepconv", 128, 256)}),
    "mixer-gnconv2": ("ffhq256", {"model.mixer": by_resolution("gnconv2", 128, 256)}),
    "mixer-gnconv3": ("ffhq256", {"model.mixer": by_resolution("gnconv3", 128, 256)}),
    "mixer-pool": ("ffhq256", {"model.mixer": by_resolution("pool", 128, 256)}),
    "mixer-identity": ("ffhq256", {"model.mixer": by_resolution("identity", 128, 256)}),
    "mixer-random": ("ffhq256", {"model.mixer": by_resolution("random", 128, 256)}),
    "few-plain": ("few-images", {"augment.transforms": "none", "augment.control": "fixed"}),
    "few-diffaugment": (PLAIN, {"augment.transforms": "diffaugment"}),
    "few-ada": (PLAIN, {"augment.transforms": "ada", "augment.control": "adaptive"}),
    "few-apa": (PLAIN, {"augment.apa": True, "augment.control": "adaptive"}),
    "few-bcr": (PLAIN, {"loss.bcr_real": 10.0, "loss.bcr_fake": 10.0}),
    "few-zcr": (PLAIN, {"loss.zcr_d": 0.2, "loss.zcr_g": 0.02, "loss.zcr_sigma": 0.1}),
    "few-lecam": (PLAIN, {"loss.lecam": 1e-3}),
    "few-hinge": (PLAIN, {"loss.adversarial": "hinge"}),
    "few-least-squares": (PLAIN, {"loss.adversarial": "least-squares"}),
    "few-wasserstein": (PLAIN, {"loss.adversarial": "wasserstein"}),
    "few-relativistic": (
        PLAIN,
        {
            "train.beta2": 0.9,
            "train.beta2_end": 0.99,
            "train.beta2_until": 800_000,
            "loss.adversarial": "relativistic",
            "loss.joint_penalty": True,
            "loss.r1_gamma_end": 1.0,
            "loss.r2_gamma": 10.0,
            "loss.r2_gamma_end": 1.0,
            "loss.gamma_until": 800_000,
        },
    ),
    "few-path-length": (PLAIN, {"loss.path_length": 2.0}),
    "few-top-k": (PLAIN, {"loss.top_k": 0.99, "loss.top_k_every": 10_000}),
    "few-augself": ("ablations/few-diffaugment", {"loss.augself_d": 1.0, "loss.augself_g": 1.0}),
    "few-adaptive-mix": (PLAIN, {"loss.adaptive_mix": 1.0}),
    "few-mee-dlle": (PLAIN, {"loss.mee_dlle": 1.0}),
    "few-mee-disomap": (PLAIN, {"loss.mee_disomap": 1.0}),
    "few-mee-entropy": (PLAIN, {"loss.mee_entropy": 5e-4}),
    "few-vision-aided": ("ablations/few-diffaugment", {"loss.features": 1.0, "loss.features_from": 50_000}),
    "few-projected": (
        "ablations/few-diffaugment",
        {
            "model.discriminator": "features",
            "loss.adversarial": "hinge",
            "loss.r1_gamma": 0.0,
            "augment.cutout": 0.2,
            "augment.blur": 2.0,
            "augment.blur_until": 100_000,
        },
    ),
}


def keys_of(name: str) -> dict[str, Any]:
    sections = load_recipe(name).model_dump()
    return {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}


def test_every_ablation_is_known_here() -> None:
    assert sorted(ABLATIONS) == sorted(f"ablations/{name}" for name in BASES)


@pytest.mark.parametrize("name", BASES)
def test_a_recipe_changes_what_it_says_and_nothing_else(name: str) -> None:
    base, expected = BASES[name]
    before, after = keys_of(base), keys_of(f"ablations/{name}")
    assert {key: value for key, value in after.items() if value != before[key]} == expected


def test_the_ladder_ends_at_the_paper_s_recipe() -> None:
    bcr = ["loss.bcr_real=10.0", "loss.bcr_fake=10.0"]
    assert load_recipe("ablations/larger-model", bcr) == load_recipe("ffhq256")


def test_total_variation_ends_with_the_run() -> None:
    recipe = load_recipe("ablations/artifacts-tv")
    assert recipe.loss.tv_until == recipe.train.total


@pytest.mark.parametrize("base", ["celebahq256", "church256", "ffhq1024", "celebahq1024", "emoji64", "quickstart"])
def test_few_images_extends_any_recipe(tmp_path: Path, base: str) -> None:
    """As its header says: copy it and change one line."""
    text = shipped_recipes()["few-images"].read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('\nextends = "ffhq256.toml"\n', f'\nextends = "{base}"\n'))
    mine, other = load_recipe(str(tmp_path / "mine.toml")), load_recipe(base)
    assert mine.model == other.model
    assert mine.augment.control == "adaptive"
    assert (mine.loss.bcr_real, mine.loss.r1_gamma) == (0, other.loss.r1_gamma)


@pytest.mark.parametrize("name", ABLATIONS)
def test_headers_tell_command_hardware_hours_and_fid(name: str) -> None:
    text, recipe = header_comment(shipped_recipes()[name]), load_recipe(name)
    store, run = recipe.data.path, name.removeprefix("ablations/")
    assert f" {store} --resolution {recipe.model.size}\n" in text
    assert f"Train:     swincli train recipes/{name}.toml\n" in text
    assert f"--checkpoint runs/{run} --data {store} " in text
    assert "Hours:     not measured\nFID:       not measured" in text


def rows() -> dict[str, list[str]]:
    """Cells of every table row on the page with a recipe name in one cell."""
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:1] == "|"]
    return {cell.strip("`"): row for row in split for cell in row if re.fullmatch("`(ablations/)?[a-z0-9-]+`", cell)}


def test_the_page_has_a_row_for_every_recipe() -> None:
    assert set(rows()) == {*ABLATIONS, "ffhq256", "ffhq1024", "few-images"}
    assert all(row[-1] == "not measured" for row in rows().values())


def test_the_page_gives_published_figures_only_where_the_recipe_does() -> None:
    given = {name: row[-2] for name, row in rows().items() if re.match(r"\d", row[-2])}
    assert given == {"ffhq256": "2.81", "ffhq1024": "5.07"}
    for name, fid in given.items():
        assert f"FID:       {fid} published" in header_comment(shipped_recipes()[name])


@pytest.mark.parametrize("name", [*ABLATIONS, "ffhq256", "ffhq1024", "few-images"])
def test_the_page_gives_the_parameters(name: str) -> None:
    model = load_recipe(name).model
    with meta_init():
        networks = Generator(model), make_discriminator(model)
    millions = (sum(parameter.numel() for parameter in network.parameters()) / 1e6 for network in networks)
    assert rows()[name][-3] == ", ".join(f"{count:.1f}" for count in millions)
