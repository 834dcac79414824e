"""Pruning of heads: which go, what remains without them, and where they stay."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from prunable_models import PATH, SIZES, images_of, make_model
from pydantic import ValidationError
from torch import Tensor

from swincli.diagnosis.cost import count_multiply_adds
from swincli.errors import UsageError
from swincli.model.blocks.attention import GroupedAttention
from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.model.mixers.registry import MIXERS, mixer_at
from swincli.recipe.networks import ALL_HEADS_FROM
from swincli.recipe.schema import ModelSection
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.training.pruning.heads import strongest_heads
from swincli.training.pruning.mixer_exchange import exchange, exchanged_section
from swincli.training.pruning.smaller_model import Kept, check_prunable, measure_parts, prune, smaller_section

HEADS = {"g_width": 32, "heads": 8, "window": 4}
ALL_UNITS = {4: 128, 8: 128, 16: 128}


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model(**HEADS)


def attentions_of(generator: Generator) -> dict[str, GroupedAttention]:
    return {name: each for name, each in generator.named_modules() if isinstance(each, GroupedAttention)}


@pytest.mark.parametrize("keys", [{}, {"attention": "single"}, {"relative_bias": False}])
def test_removed_heads_are_as_heads_at_their_mean(keys: dict[str, Any]) -> None:
    """In float64, because rounding grows from level to level."""
    model = make_model(**HEADS | keys)
    kept, statistics = check_prunable(model.recipe.model, PATH, 0.5), measure_parts(model, 8)
    assert kept.heads == {4: 4, 8: 4, 16: 4}
    exact = replace(model, generator=copy.deepcopy(model.generator).double())
    codes = codes_of_seeds(model, range(4)).double()
    pruned, whole = images_of(prune(exact, Kept(ALL_UNITS, kept.heads), statistics), codes), images_of(exact, codes)
    for name, attention in attentions_of(exact.generator).items():
        known = statistics.heads[name]
        chosen = strongest_heads(attention, known, 4)

        def at_mean(_: Any, given: tuple[Tensor], chosen: Tensor = chosen, mean: Tensor = known.mean) -> Tensor:
            by_head = given[0].unflatten(-1, (8, 4))
            masked = mean.expand_as(by_head).clone()
            masked[..., chosen, :] = by_head[..., chosen, :]
            return masked.flatten(-2)

        attention.proj.register_forward_pre_hook(at_mean)
    torch.testing.assert_close(pruned, images_of(exact, codes), rtol=1e-6, atol=1e-6)
    assert (pruned - whole).abs().max() > 1e-3


def test_a_head_without_effect_goes_first_and_each_group_keeps_as_many(model: Model) -> None:
    """In the first group, heads 0 to 2 hardly count; one of them stays all the same."""
    generator = copy.deepcopy(model.generator)
    first = attentions_of(generator)
    for attention in first.values():
        attention.proj.weight[:, :12] *= torch.tensor([1e-4, 1e-3, 1e-2]).repeat_interleave(4)
    weak = replace(model, generator=generator)
    statistics = measure_parts(weak, 4)
    for name, attention in first.items():
        chosen = strongest_heads(attention, statistics.heads[name], 4)
        assert chosen[:2].tolist() == [2, 3]
        assert (chosen >= 4).tolist() == [False, False, True, True]
    pruned = prune(weak, Kept(ALL_UNITS, {4: 6, 8: 6, 16: 6}), statistics)
    assert images_of(pruned).shape == images_of(weak).shape


def test_the_statistics_are_those_of_all_positions(model: Model) -> None:
    seen: dict[str, list[Tensor]] = {}
    attentions = attentions_of(model.generator)
    hooks = [
        each.proj.register_forward_pre_hook(
            lambda _, given, name=name: seen.setdefault(name, []).append(given[0].flatten(0, -2).clone())  # type: ignore[misc]
        )
        for name, each in attentions.items()
    ]
    images_of(model)
    for hook in hooks:
        hook.remove()
    for name, known in measure_parts(model, 4).heads.items():
        results = torch.cat(seen[name]).double().unflatten(-1, (8, 4)).transpose(0, 1)
        torch.testing.assert_close(known.mean, results.mean(dim=1), rtol=1e-5, atol=1e-6)
        for head, covariance in zip(results, known.covariance, strict=True):
            torch.testing.assert_close(covariance, head.T.cov(correction=0), rtol=1e-4, atol=1e-5)


def test_tiled_and_plain_ways_agree_and_the_file_is_opened_again(model: Model, tmp_path: Path) -> None:
    kept = check_prunable(model.recipe.model, PATH, 0.5)
    pruned = prune(model, kept, measure_parts(model, 4))
    for attention in attentions_of(pruned.generator).values():
        assert attention.inner == 16
        x = torch.randn(2, 16, 16, 32)
        out = torch.empty_like(x)
        with torch.inference_mode():
            attention.add_tiled(x, lambda values, _: values, out)
            torch.testing.assert_close(out, x + attention(x), rtol=1e-5, atol=1e-5)
    path = tmp_path / "small.safetensors"
    save_model(path, pruned.generator, pruned.recipe, 0)
    again = load_model(path, torch.device("cpu"))
    assert again.recipe.model.kept_heads == {"4": 4, "8": 4, "16": 4}
    assert torch.equal(images_of(again), images_of(pruned))


def test_multiply_adds_fall_by_those_of_the_removed_heads(model: Model) -> None:
    kept = Kept(ALL_UNITS, {4: 6, 8: 6, 16: 6})
    counts = []
    for section in (model.recipe.model, smaller_section(model.recipe.model, kept)):
        with meta_init():
            generator = Generator(section)
        counts.append(count_multiply_adds(generator, torch.empty(1, 16, device="meta"), section))
    blocks, channels, removed, keys = 2, 32, 2 * 4, 16
    per_position = 4 * channels * removed + 2 * keys * removed  # q, k, v and projection; products with a window
    assert counts[0] - counts[1] == blocks * per_position * (4**2 + 8**2 + 16**2)


@pytest.mark.parametrize(("share", "left"), [(0.1, 8), (0.25, 6), (0.3, 6), (0.5, 4), (0.7, 4), (0.75, 2), (0.99, 2)])
def test_no_more_than_the_share_of_the_heads_goes(share: float, left: int) -> None:
    assert check_prunable(ModelSection.model_validate(SIZES | HEADS), PATH, share).heads[16] == left


@pytest.mark.parametrize("keys", [{"kv_heads": 2}, {"score_mask": "gaussian"}, {"mixer": "kv2"}])
def test_heads_that_cannot_be_pruned_stay(keys: dict[str, Any]) -> None:
    model = make_model(**HEADS | keys)
    kept = check_prunable(model.recipe.model, PATH, 0.5)
    assert 16 not in kept.heads
    pruned = prune(model, kept, measure_parts(model, 2))
    assert pruned.recipe.model.kept_heads_at(16) == 8
    assert images_of(pruned).isfinite().all()


def test_exchanged_mixers_have_all_their_heads(model: Model) -> None:
    pruned = prune(model, check_prunable(model.recipe.model, PATH, 0.5), measure_parts(model, 2))
    section = exchanged_section(pruned.recipe, {16: "grid"}, PATH)
    assert [section.kept_heads_at(side) for side in (4, 8, 16)] == [4, 4, 8]
    assert images_of(exchange(pruned, section)).isfinite().all()
    with pytest.raises(UsageError, match="pruned already"):
        check_prunable(section, PATH, 0.5)


def test_small_sides_of_other_mixers_have_windows_and_stay_pruned() -> None:
    model = make_model(**HEADS, mixer="grid")
    kept = check_prunable(model.recipe.model, PATH, 0.5)
    assert kept.heads == {4: 4, 8: 4}
    pruned = prune(model, kept, measure_parts(model, 2))
    section = exchanged_section(pruned.recipe, {16: "dw7"}, PATH)
    assert [section.kept_heads_at(side) for side in (4, 8)] == [4, 4]
    known = pruned.generator.state_dict()
    for name, value in exchange(pruned, section).generator.state_dict().items():
        if name.startswith(("levels.0", "levels.1")):
            assert torch.equal(value, known[name])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kept_heads": 3}, "3 of G's 8 heads at 4 px; an even number"),
        ({"kept_heads": 10}, "10 of G's 8 heads at 4 px"),
        ({"kept_heads": {"16": 4}, "kv_heads": 2}, "cannot be combined with kv_heads or score_mask"),
        ({"kept_heads": 4, "score_mask": "gaussian"}, "cannot be combined with kv_heads or score_mask"),
        ({"kept_heads": {"16": 4}, "mixer": {"16": "grid"}}, 'the mixer "grid" at 16 px keeps all its heads'),
    ],
)
def test_heads_that_no_model_can_keep(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelSection.model_validate(SIZES | HEADS | keys)


def test_the_mixers_that_keep_their_heads_are_those_of_the_registry() -> None:
    windows = {"double", "single"}
    for name, mixer in MIXERS.items():
        section = ModelSection.model_validate(SIZES | HEADS | {"mixer": name})
        if name in ALL_HEADS_FROM:
            assert mixer.smallest == ALL_HEADS_FROM[name]
        else:
            heads = any("heads" in vars(each) for each in mixer_at(section, 16).build(section, 16, 32, 0).modules())
            assert heads == (name in windows)


def test_a_convolution_does_not_ask_for_heads() -> None:
    section = ModelSection.model_validate(SIZES | HEADS | {"kept_heads": 4, "mixer": {"16": "dw7"}})
    assert Generator(section)


def test_pruning_more_leaves_less(model: Model) -> None:
    sizes = [
        sum(value.numel() for value in prune(model, kept, measure_parts(model, 2)).generator.state_dict().values())
        for kept in (check_prunable(model.recipe.model, PATH, share) for share in (0.25, 0.5, 0.75))
    ]
    assert all(less < more for more, less in pairwise(sizes))
