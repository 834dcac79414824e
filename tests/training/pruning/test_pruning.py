"""Pruning of MLP units and heads: which go, what remains without them, and what distillation repairs."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from prunable_models import PATH, SIZES, images_of, make_model
from torch import Tensor

from swincli.diagnosis.cost import count_multiply_adds
from swincli.errors import UsageError
from swincli.model.blocks.mlp import Mlp
from swincli.model.files.model_file import Model
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe.schema import ModelSection
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.training.pruning.distillation import distil, imitation_loss
from swincli.training.pruning.mlp_units import mlps_of, strongest_units
from swincli.training.pruning.smaller_model import Kept, check_prunable, measure_parts, prune, smaller_section


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model()


def test_statistics_are_those_of_all_positions_and_images(model: Model) -> None:
    seen: list[list[Tensor]] = [[] for _ in mlps_of(model.generator)]
    hooks = [
        mlp.register_forward_pre_hook(lambda _, given, kept=kept: kept.append(given[0].flatten(0, -2)))  # type: ignore[misc]
        for mlp, kept in zip(mlps_of(model.generator), seen, strict=True)
    ]
    images_of(model)
    for hook in hooks:
        hook.remove()
    found = list(measure_parts(model, 4).units.values())
    assert len(found) == len(seen) == 6
    for mlp, parts, statistics in zip(mlps_of(model.generator), seen, found, strict=True):
        units = F.gelu(F.linear(torch.cat(parts), mlp.expand.weight, mlp.expand.bias)).double()
        torch.testing.assert_close(statistics.mean, units.mean(dim=0), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(statistics.deviation, units.std(dim=0, correction=0), rtol=1e-4, atol=1e-5)


def test_all_units_kept_give_the_same_images(model: Model) -> None:
    section = model.recipe.model
    everything = Kept(*({side: at(side) for side in (4, 8, 16)} for at in (section.hidden_at, section.heads_at)))
    assert torch.equal(images_of(prune(model, everything, measure_parts(model, 4))), images_of(model))


def test_removed_units_are_as_masked_ones(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask sets the activation of a unit to its mean. In float64, because rounding grows from level to level."""
    kept, statistics = check_prunable(model.recipe.model, PATH, 0.5), measure_parts(model, 8)
    assert kept == Kept({4: 32, 8: 32, 16: 32}, {4: 2, 8: 2, 16: 2})
    kept = Kept(kept.units, {})
    exact = replace(model, generator=copy.deepcopy(model.generator).double())
    codes = codes_of_seeds(model, range(4)).double()

    @torch.inference_mode()
    def drawn(one: Model) -> Tensor:
        return one.generator.synthesise(codes)

    pruned, whole = drawn(prune(exact, kept, statistics)), drawn(exact)
    masks: dict[Mlp, tuple[Tensor, Tensor]] = {}
    for mlp, known in zip(mlps_of(exact.generator), statistics.units.values(), strict=True):
        chosen = torch.zeros(64, dtype=torch.bool)
        chosen[strongest_units(mlp, known, 32)] = True
        masks[mlp] = chosen, known.mean

    def masked(mlp: Mlp, x: Tensor, w: Tensor) -> Tensor:  # noqa: ARG001
        chosen, mean = masks[mlp]
        return mlp.contract(torch.where(chosen, F.gelu(mlp.expand(x)), mean))

    monkeypatch.setattr(Mlp, "forward", masked)
    torch.testing.assert_close(pruned, drawn(exact), rtol=1e-6, atol=1e-6)
    assert (pruned - whole).abs().max() > 1e-3


def test_units_that_do_nothing_go_first(model: Model) -> None:
    """Of each block, 32 units have a constant activation, and a large one."""
    generator = Generator(model.recipe.model).eval().requires_grad_(False)
    generator.load_state_dict(model.generator.state_dict())
    for mlp in mlps_of(generator):
        mlp.expand.weight[::2], mlp.expand.bias[::2] = 0, 3
    idle = replace(model, generator=generator)
    kept = Kept(check_prunable(model.recipe.model, PATH, 0.5).units, {})
    pruned = prune(idle, kept, measure_parts(idle, 8))
    torch.testing.assert_close(images_of(pruned), images_of(idle), rtol=1e-4, atol=1e-4)
    assert mlps_of(pruned.generator)[0].expand.bias.shape == (32,)


def test_multiply_adds_fall_by_those_of_the_removed_units(model: Model) -> None:
    kept = check_prunable(model.recipe.model, PATH, 0.3)
    assert kept == Kept({4: 48, 8: 48, 16: 48}, {4: 4, 8: 4, 16: 4})  # 44.8 units; a pair of 4 heads is more
    counts = []
    for section in (model.recipe.model, smaller_section(model.recipe.model, kept)):
        with meta_init():
            generator = Generator(section)
        counts.append(count_multiply_adds(generator, torch.empty(1, 16, device="meta"), section))
    blocks, layers, channels, removed = 2, 2, 16, 16
    assert counts[0] - counts[1] == blocks * layers * channels * removed * (4**2 + 8**2 + 16**2)


@pytest.mark.parametrize(
    ("keys", "share", "message"),
    [
        ({"mlp_hidden": 40}, 0.3, "model is pruned already"),
        ({"style": "modulated-mlp"}, 0.3, "modulated-mlp"),
        ({}, 0.01, "--prune 0.01: removes no unit"),
        ({"mlp_hidden": 8}, 0.3, "pruned already"),
        ({"kept_heads": 2}, 0.3, "pruned already, or was trained so .model.kept_heads"),
    ],
)
def test_models_that_cannot_be_pruned(keys: dict[str, Any], share: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_prunable(ModelSection.model_validate(SIZES | keys), PATH, share)


def test_distillation_comes_closer_and_leaves_the_mapping_network(model: Model) -> None:
    kept, statistics = check_prunable(model.recipe.model, PATH, 0.6), measure_parts(model, 8)
    first, second = (prune(model, kept, statistics) for _ in range(2))
    known = {name: value.clone() for name, value in model.generator.state_dict().items()}
    codes = codes_of_seeds(model, range(8)).clone()
    before = imitation_loss(first.generator, model.generator, codes)
    losses = distil(first, model, 15, batch=4)
    assert len(losses) == 4
    assert imitation_loss(first.generator, model.generator, codes) < 0.98 * before
    assert not any(parameter.requires_grad for parameter in first.generator.parameters())
    for name, value in model.generator.state_dict().items():
        assert torch.equal(value, known[name])
        if name.startswith("mapping."):
            assert torch.equal(first.generator.state_dict()[name], value)
    assert distil(second, model, 15, batch=4) == losses
    assert torch.equal(images_of(second), images_of(first))


def test_a_network_imitates_itself(model: Model) -> None:
    codes = codes_of_seeds(model, range(2)).clone()
    assert imitation_loss(model.generator, model.generator, codes) < 1e-5


def test_the_mlp_of_a_mixer_stays_whole() -> None:
    model = make_model(mixer="latent")
    assert len(mlps_of(model.generator)) == 6  # of the blocks, not of the latents
    smaller = prune(model, Kept({4: 32, 8: 32, 16: 32}, {4: 2, 8: 2}), measure_parts(model, 2))
    assert smaller.generator.levels[2].blocks[1].attention.mix.mlp.expand.out_features == 64  # type: ignore[union-attr, index]
    assert images_of(smaller).isfinite().all()
