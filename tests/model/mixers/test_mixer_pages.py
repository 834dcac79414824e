"""The costs on the pages of mixers are those of the formulas in the code."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from swincli.diagnosis.cost import count_multiply_adds
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.model.mixers.registry import MIXERS, mixer_at
from swincli.recipe import load_recipe
from swincli.recipe.schema import ModelSection

PAGES = Path(__file__).parents[3] / "docs" / "concepts"
ROWS: dict[str, dict[str, Any]] = {
    **{f"`{name}`": {"mixer": name} for name in MIXERS if name not in ("single", "kv2", "strided", "axial")},
    "`na-all`": {"mixer": "na-all", "min_heads": 8},
    "`pool`, `identity`": {"mixer": "pool"},
    "`kv_heads = 2`": {"kv_heads": 2},
    "`kv2`, w 16": {"mixer": "kv2", "window": 16},
    "`kv2`, w 8": {"mixer": "kv2"},
    "`strided`, w 8": {"mixer": "strided"},
    "`axial`": {"mixer": {str(side): "axial" for side in (16, 32, 64)}},
}
"""Keys of [model] by the first cell of a row."""


def percentages() -> list[tuple[str, list[int]]]:
    """The first cell of every row of the pages that has percentages, with them."""
    lines = [line for page in sorted(PAGES.glob("mixers-*.md")) for line in page.read_text().splitlines()]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    found = [(row[0], [re.fullmatch(r"(\d+) %, (\d+) %", cell) for cell in row]) for row in cells]
    return [(name, [*map(int, match.groups())]) for name, row in found for match in row if match]


@cache
def whole(recipe: str) -> tuple[ModelSection, int]:
    """A recipe's networks and the multiply-adds of its generator."""
    config = load_recipe(recipe).model
    with meta_init():
        generator = Generator(config)
    return config, count_multiply_adds(generator, torch.empty(1, config.latent_dim, device="meta"), config)


def of_mixers(config: ModelSection) -> int:
    return sum(2 * mixer_at(config, side).multiply_adds(config, side) for side in config.resolutions)


def share(recipe: str, changes: dict[str, Any]) -> int:
    config, total = whole(recipe)
    changed = ModelSection.model_validate(config.model_dump() | changes)
    return round(100 * (total - of_mixers(config) + of_mixers(changed)) / total)


def test_the_paper_networks_have_the_stated_cost() -> None:
    text = (PAGES / "mixers.md").read_text()
    for recipe in ("ffhq256", "ffhq1024"):
        assert f"`{recipe}` ({whole(recipe)[1] / 1e9:.1f} G)" in text


@pytest.mark.parametrize(("row", "stated"), percentages())
def test_a_percentage_is_that_of_the_formula(row: str, stated: list[int]) -> None:
    assert [share(recipe, ROWS[row]) for recipe in ("ffhq256", "ffhq1024")] == stated


def test_the_pages_state_it_for_every_mixer_but_the_second_of_a_pair() -> None:
    named = {name for row, _ in percentages() for name in re.findall(r"`([^` ]+)`", row)}
    assert set(MIXERS) - named == {"single", "latent", "latent-kmeans"}


def test_a_formula_of_the_whole_is_the_count_of_the_whole() -> None:
    """Of mixers in the place of others, at a size that is quick to build."""
    for name in ("na", "gnconv3", "strided"):
        sections = [ModelSection(size=32, mixer=each) for each in ("double", name)]
        counts = []
        for section in sections:
            with meta_init():
                generator = Generator(section)
            counts.append(count_multiply_adds(generator, torch.empty(1, 512, device="meta"), section))
        assert counts[1] - counts[0] == pytest.approx(of_mixers(sections[1]) - of_mixers(sections[0]), rel=1e-9)
