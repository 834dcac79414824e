"""Frozen features in training: a second D beside the ordinary one, or alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from loss_switches import Steps
from tiny_backbone import TINY_RUN, NoFile, TinyBackbone, install_tiny_backbone

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import CheckpointError, RecipeError
from swincli.recipe import Recipe
from swincli.training.losses import vision_aided
from swincli.training.run.same_run import check_same_run
from swincli.training.run.shared_state import copy_in_memory
from swincli.training.run.state import build_state, restore, state_content
from swincli.training.step.freeze_d import frozen_parameters
from swincli.training.transfer.checkpoint_sources import read_init_checkpoint

MakeRecipe = Callable[..., Recipe]
ASIDE = ("loss.features=1",)
ALONE = ("model.discriminator=features", "loss.adversarial=hinge", "loss.r1_gamma=0")
BOTH_WAYS = pytest.mark.parametrize(
    "keys", [pytest.param(ASIDE, id="aside"), pytest.param(ALONE, id="alone", marks=pytest.mark.slow)]
)


@pytest.fixture(autouse=True)
def backbone(monkeypatch: pytest.MonkeyPatch) -> TinyBackbone:
    return install_tiny_backbone(monkeypatch)


def steps(tiny_recipe: MakeRecipe, store: Store, *keys: str, double: bool = False) -> Steps:
    return Steps(tiny_recipe(*TINY_RUN, *keys), store, double=double)


@pytest.mark.parametrize("keys", [ASIDE, ALONE], ids=["aside", "alone"])
def test_a_state_names_the_weights_of_the_backbone(
    tiny_recipe: MakeRecipe, keys: tuple[str, ...], tmp_path: Path
) -> None:
    recipe, path = tiny_recipe(*TINY_RUN, *keys), tmp_path / "state-000000000000.pt"
    content = state_content(build_state(recipe, "hash", torch.device("cpu")))
    assert content["backbone"] == NoFile.sha256
    check_same_run(content, path, recipe, "hash", Console(quiet=True))
    other = content | {"backbone": "1" * 64}
    with pytest.raises(CheckpointError, match="features of other weights") as caught:
        check_same_run(other, path, recipe, "hash", Console(quiet=True))
    assert "--out" in (caught.value.hint or "")
    torch.save(other, path)
    with pytest.raises(CheckpointError, match="features of other weights"):
        read_init_checkpoint(str(path), Console(quiet=True))
    del content["backbone"]  # of an older version
    check_same_run(content, path, recipe, "hash", Console(quiet=True))


def test_other_states_name_no_backbone(tiny_recipe: MakeRecipe) -> None:
    assert "backbone" not in state_content(build_state(tiny_recipe(*TINY_RUN), "hash", torch.device("cpu")))


@BOTH_WAYS
def test_it_trains_and_resumes_to_the_bit(tiny_recipe: MakeRecipe, larger_store: Store, keys: tuple[str, ...]) -> None:
    unbroken = steps(tiny_recipe, larger_store, *keys)
    first = unbroken.run(1)
    content = copy_in_memory(unbroken.state)
    resumed = steps(tiny_recipe, larger_store, *keys)
    restore(resumed.state, content)
    assert resumed.run(1) == unbroken.run(1)
    ours, theirs = resumed.tensors(), unbroken.tensors()
    assert [name for name, value in theirs.items() if not torch.equal(ours[name], value)] == []
    assert not any("backbone" in name for name in theirs)
    if keys == ASIDE:
        assert first[0]["loss/features_d"] == pytest.approx(2.0, abs=1.0)


def test_before_its_start_the_second_d_changes_nothing(tiny_recipe: MakeRecipe, larger_store: Store) -> None:
    plain = steps(tiny_recipe, larger_store)
    later = steps(tiny_recipe, larger_store, *ASIDE, "loss.features_from=8")
    plain.run(2)
    assert "loss/features_d" not in later.run(2)[1]
    ours = later.tensors()
    theirs = {name: value for name, value in plain.tensors().items() if name.startswith(("/generator", "/average"))}
    assert [name for name, value in theirs.items() if not torch.equal(ours[name], value)] == []
    assert later.run(1)[0]["loss/features_g"] != 0


def test_after_its_end_the_second_d_is_left_out(tiny_recipe: MakeRecipe, larger_store: Store) -> None:
    made = steps(tiny_recipe, larger_store, *ASIDE, "loss.features_end=0", "loss.features_until=8")
    assert made.run(2)[1]["loss/features_d"] > 0
    before = {name: value.clone() for name, value in made.tensors().items() if f"{vision_aided.NAME}." in name}
    assert before
    assert all("loss/features_d" not in step and "loss/features_g" not in step for step in made.run(2))
    after = made.tensors()
    assert [name for name, value in before.items() if not torch.equal(after[name], value)] == []


def test_r1_leaves_the_second_d_alone(tiny_recipe: MakeRecipe, larger_store: Store, backbone: TinyBackbone) -> None:
    made = steps(tiny_recipe, larger_store, *ASIDE)
    (r1,) = (phase for phase in made.phases if phase.name == "R1")
    looks, second = list[int](), made.state.discriminator.get_submodule(vision_aided.NAME)
    backbone.layers[0].register_forward_hook(lambda *_: looks.append(1))
    made.run(1)
    assert looks
    looks.clear()
    before = {name: value.clone() for name, value in second.state_dict().items()}
    assert r1.run(made.micro_batches())["loss/r1"] > 0
    assert not looks
    assert [name for name, value in second.state_dict().items() if not torch.equal(before[name], value)] == []


def test_zero_logits_have_a_hinge_loss_of_two(tiny_recipe: MakeRecipe, larger_store: Store) -> None:
    made = steps(tiny_recipe, larger_store, *ASIDE)
    second = made.state.discriminator.get_submodule(vision_aided.NAME)
    for name, parameter in second.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.zeros_(parameter)  # what follows is the same everywhere: leaky ReLU of 0
    assert made.run(1)[0]["loss/features_d"] == pytest.approx(2.0)


@pytest.mark.slow
@pytest.mark.parametrize("keys", [ASIDE, ALONE], ids=["aside", "alone"])
def test_micro_batches_change_nothing(
    tiny_recipe: MakeRecipe, larger_store: Store, backbone: TinyBackbone, keys: tuple[str, ...]
) -> None:
    backbone.double()
    whole = steps(tiny_recipe, larger_store, "train.batch=16", *keys, double=True)
    parts = steps(tiny_recipe, larger_store, "train.batch=16", *keys, "run.micro_batch=8", double=True)
    for ours, theirs in zip(parts.run(2), whole.run(2), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)


def test_a_micro_batch_below_the_groups_of_batch_norm_is_refused(tiny_recipe: MakeRecipe, larger_store: Store) -> None:
    with pytest.raises(RecipeError, match=r"run\.micro_batch"):
        steps(tiny_recipe, larger_store, *ASIDE, "train.batch=8", "run.micro_batch=4")


def test_no_layer_of_it_can_be_frozen(tiny_recipe: MakeRecipe, larger_store: Store) -> None:
    made = steps(tiny_recipe, larger_store, *ALONE)
    assert frozen_parameters(made.state.discriminator, 0) == set()
    with pytest.raises(RecipeError, match=r"train\.freeze_d"):
        frozen_parameters(made.state.discriminator, 1)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ((*ALONE, "loss.r1_gamma=1"), "loss.r1_gamma"),
        ((*ALONE, "loss.r2_gamma=1"), "loss.r2_gamma"),
        ((*ALONE, "loss.features=1"), "loss.features"),
        ((*ALONE, "loss.mee_entropy=1"), "model.discriminator"),
        ((*ASIDE, "model.size=16", "model.g_channels=[8,8,8]", "model.d_channels=[8,8,8]"), "model.size"),
        ((*ASIDE, "loss.features_from=400"), "loss.features_from"),
    ],
)
def test_what_contradicts_it_is_refused(tiny_recipe: MakeRecipe, keys: tuple[str, ...], named: str) -> None:
    with pytest.raises(RecipeError, match=named.replace(".", r"\.")):
        tiny_recipe(*TINY_RUN, *keys)
