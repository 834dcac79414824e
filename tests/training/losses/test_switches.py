"""Every switch: it trains, resumes to the bit, is the same in micro-batches, works with labels, patches and bf16.

Combined ones run fast; each alone is slow.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from attribute_stores import ATTRIBUTES
from loss_switches import COMBINED, FEATURES, SWITCHES, UNCONDITIONAL, WHOLE_BATCH, Steps, keys_of
from torch import Tensor

from swincli.data.store.reader import Store
from swincli.errors import RecipeError
from swincli.recipe import Recipe
from swincli.training.run.shared_state import copy_in_memory
from swincli.training.run.state import restore
from swincli.training.step.engine import Engine, compile_networks

MakeRecipe = Callable[..., Recipe]
KEYS = ("train.total=400", "train.batch=4", "loss.r1_interval=2")
CONDITIONS = {
    "patches": "model.discriminator=patch",
    "equalised": "model.spectral_norm=false",
    "plain": "model.discriminator=plain",
    "bf16": "run.precision=bf16",
    "recomputed": "run.recompute_from=8",
    "imagenet's range": "model.pixel_mean=[0.485,0.456,0.406] model.pixel_std=[0.229,0.224,0.225]",
}
ALONE = [pytest.param((name,), marks=pytest.mark.slow, id=name) for name in SWITCHES]
each_switch = pytest.mark.parametrize("names", [*(pytest.param(names, id=names[0]) for names in COMBINED), *ALONE])
each_condition = pytest.mark.parametrize(
    ("names", "condition"),
    [
        *(pytest.param(*pair, id=pair[1]) for pair in zip(COMBINED, CONDITIONS, strict=True)),
        *(
            pytest.param((name,), condition, marks=pytest.mark.slow, id=f"{name}-{condition}")
            for name in SWITCHES
            for condition in CONDITIONS
        ),
    ],
)


def test_the_combined_runs_have_every_switch() -> None:
    assert sorted(name for names in COMBINED for name in names) == sorted(SWITCHES)


def assert_close(one: Steps, other: Steps) -> None:
    ours = one.tensors()
    for place, value in other.tensors().items():
        torch.testing.assert_close(ours[place], value, rtol=1e-6, atol=1e-8, msg=place)


def assert_same_bits(one: Steps, other: Steps) -> None:
    ours, theirs = one.tensors(), other.tensors()
    assert ours.keys() == theirs.keys()
    assert [name for name, value in theirs.items() if not _equal(ours[name], value)] == []


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same, with NaN (r_t that is not known yet) in the same places."""
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


@each_switch
def test_a_killed_run_goes_on_to_the_bit(tiny_recipe: MakeRecipe, store: Store, names: tuple[str, ...]) -> None:
    recipe = tiny_recipe(*KEYS, *keys_of(names))
    unbroken = Steps(recipe, store)
    first = unbroken.run(3)
    saved = copy_in_memory(unbroken.state)
    last = unbroken.run(1)
    assert all(math.isfinite(value) for step in (*first, *last) for value in step.values())
    assert len({step["loss/d"] for step in (*first, *last)}) == 4
    broken = Steps(recipe, store)
    broken.run(1)  # what a rehearsal leaves must not stay
    for optimizer in (broken.state.g_optimizer, broken.state.d_optimizer):
        optimizer.state.clear()
    restore(broken.state, saved)
    assert broken.run(1) == last
    assert_same_bits(broken, unbroken)


@each_switch
def test_micro_batches_change_nothing(tiny_recipe: MakeRecipe, store: Store, names: tuple[str, ...]) -> None:
    keys = (*KEYS, "train.batch=8", *keys_of(names))
    if WHOLE_BATCH & set(names):
        with pytest.raises(RecipeError, match="whole batch"):
            tiny_recipe(*keys, "run.micro_batch=4")
        return
    whole, parts = (Steps(tiny_recipe(*keys, *more), store, double=True) for more in ([], ["run.micro_batch=4"]))
    for ours, theirs in zip(parts.run(2), whole.run(2), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)
    assert_close(parts, whole)


@each_switch
@pytest.mark.parametrize(
    ("labels", "name_of_store"),
    [
        pytest.param("model.classes=2", "labelled_store", id="classes"),
        pytest.param(ATTRIBUTES, "attribute_store", id="attributes"),
    ],
)
def test_labels_work_or_are_refused(
    tiny_recipe: MakeRecipe, names: tuple[str, ...], labels: str, name_of_store: str, request: pytest.FixtureRequest
) -> None:
    keys = (*KEYS, labels)
    refused = UNCONDITIONAL & set(names)
    for name in refused:
        with pytest.raises(RecipeError, match="train without classes"):
            tiny_recipe(*keys, *keys_of((name,)))
    recipe = tiny_recipe(*keys, *keys_of(tuple(name for name in names if name not in refused)))
    steps = Steps(recipe, request.getfixturevalue(name_of_store))
    assert all(math.isfinite(value) for value in steps.run(1)[0].values())


@each_condition
def test_it_works_in_every_condition_or_is_refused(
    tiny_recipe: MakeRecipe, store: Store, names: tuple[str, ...], condition: str
) -> None:
    keys, refused = (*KEYS, *CONDITIONS[condition].split()), set[str]()
    if condition == "patches":
        refused = FEATURES & set(names)
        for name in refused:
            with pytest.raises(RecipeError, match='"patch" and "features" have no feature vector'):
                tiny_recipe(*keys, *keys_of((name,)))
    steps = Steps(tiny_recipe(*keys, *keys_of(tuple(name for name in names if name not in refused))), store)
    [scalars] = steps.run(1)
    assert all(math.isfinite(value) for value in scalars.values())
    if condition == "recomputed":
        plain = Steps(tiny_recipe(*KEYS, *keys_of(names)), store)
        assert plain.run(1) == [scalars]
        assert_same_bits(steps, plain)


@pytest.mark.parametrize("transforms", ["none", "diffaugment"])
def test_weights_of_nothing_leave_a_run_as_it_is_to_the_bit(
    tiny_recipe: MakeRecipe, store: Store, transforms: str
) -> None:
    """With every other key of the regularisers changed; AugSelf's weights switch it off beside its transforms."""
    weights = ("r2_gamma", "lecam", "zcr_d", "zcr_g", "path_length", "augself_d", "augself_g", "adaptive_mix")
    weights += ("mee_dlle", "mee_disomap", "mee_entropy", "features", "matching", "elastic", "repel")
    off = [f"loss.{name}=0" for name in weights]
    around = [
        "loss.lecam_from=0",
        "loss.lecam_decay=0.5",
        "loss.zcr_sigma=2",
        "loss.path_length_interval=1",
        'loss.augself_groups=["cutout"]',
        "loss.adaptive_mix_noise=3",
        "loss.mee_buffer=4",
        "loss.mee_until=8",
        "loss.top_k_every=1",
        "loss.features_from=4",
        "model.features_side=64",
        "model.feature_heads=full",
        'loss.repel_models=["other"]',
        "loss.repel_alpha=3",
        "augment.p_max=0.1",
        "augment.speed=1",
        *(["augment.cutout=1"] if transforms == "none" else []),
    ]
    keys = (*KEYS, f"augment.transforms={transforms}")
    plain, switched_off = Steps(tiny_recipe(*keys), store), Steps(tiny_recipe(*keys, *off, *around), store)
    assert plain.run(2) == switched_off.run(2)
    assert_same_bits(switched_off, plain)


@pytest.mark.slow
@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_changes_the_run(tiny_recipe: MakeRecipe, store: Store, name: str) -> None:
    plain, switched = (Steps(tiny_recipe(*KEYS, *keys), store) for keys in ([], SWITCHES[name].split()))
    plain.run(4)
    switched.run(4)
    ours, theirs = (switched.tensors(), plain.tensors())
    assert not all(torch.equal(value, ours[key]) for key, value in theirs.items() if key.startswith("/average"))


def test_an_old_state_without_what_a_switch_remembers_goes_on(tiny_recipe: MakeRecipe, store: Store) -> None:
    recipe = tiny_recipe(*KEYS, *SWITCHES["lecam"].split())
    steps = Steps(recipe, store)
    steps.run(2)
    content = copy_in_memory(steps.state)
    del content["memory"]
    resumed = Steps(recipe, store)
    restore(resumed.state, content)
    assert resumed.state.memory.number("lecam/steps") == 0
    assert resumed.run(2)[1]["loss/lecam"] >= 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("names", COMBINED, ids=lambda names: names[0])
def test_compiling_changes_nothing(tiny_recipe: MakeRecipe, store: Store, names: tuple[str, ...]) -> None:
    """By the tracing half of torch.compile, which needs no C++ compiler."""
    recipe = tiny_recipe(*KEYS, *keys_of(names))
    plain, compiled = Steps(recipe, store, double=True), Steps(recipe, store, double=True)
    compile_networks(compiled.state.generator, compiled.state.discriminator, backend="aot_eager")
    compiled.make_phases(Engine(compiled=True))
    for ours, theirs in zip(compiled.run(2), plain.run(2), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)
    assert_close(compiled, plain)
