"""Checkpoints of the original release: reading, refusing damaged or unsafe files, and writing them back."""

from __future__ import annotations

import argparse
import collections
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_case import ParityCase
from release_skeleton import ReleasedDiscriminator, ReleasedGenerator, optimizer, released_checkpoint
from shared_material import PARITY

from swincli.errors import CheckpointError
from swincli.model.config_diff import differing_keys
from swincli.model.discriminators.wavelet import WaveletDiscriminator
from swincli.model.files import model_file
from swincli.model.files.model_file import load_model, mean_w, read_snapshot, save_snapshot
from swincli.model.files.official import (
    discriminator_names,
    generator_names,
    read_original,
    unsupported_by_release,
    write_original,
)
from swincli.model.files.official.layout import Buffer, discriminator_layout, generator_layout
from swincli.model.files.official.shapes import discriminator_section, generator_section
from swincli.model.files.official.writing import original_content
from swincli.model.files.snapshot import Snapshot
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.model.pixels import to_pictures
from swincli.recipe import Recipe, load_recipe
from swincli.recipe.schema import ModelSection
from swincli.recipe.shipped import find_shipped

CPU = torch.device("cpu")
with_parity = pytest.mark.skipif(not PARITY.is_dir(), reason="the parity vectors (../shared/parity) are not here")
IMAGENET = {"pixel_mean": (0.485, 0.456, 0.406), "pixel_std": (0.229, 0.224, 0.225)}
G_WIDTHS, D_WIDTHS = [16, 16, 8], [8, 8, 4]


def checkpoint(**changes: Any) -> dict[str, Any]:
    """A small released checkpoint of 16 px."""
    return released_checkpoint(G_WIDTHS, D_WIDTHS, **changes)


def saved(folder: Path, content: Any, name: str = "released.pt", **options: Any) -> Path:
    path = folder / name
    path.unlink(missing_ok=True)  # an earlier reader may still map it
    torch.save(content, path, **options)
    return path


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Nested values are equal bit for bit, except for the buffer that the release stores uninitialised."""
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            if not str(key).endswith("_float_tensor"):
                assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor), where
        assert one.dtype == other.dtype, where
        assert torch.equal(one, other), where
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}/{index}")
    else:
        assert (type(one), one) == (type(other), other), where


# Names, order and buffers


@pytest.mark.parametrize("size", [64, pytest.param(256, marks=pytest.mark.slow)])
@with_parity
def test_the_skeleton_is_the_releases(size: int) -> None:
    manifest = json.loads((PARITY / f"manifest_{size}.json").read_text())
    widths = list(ModelSection(size=size).channels("g").values())
    with meta_init():
        networks = {"g_ema": ReleasedGenerator(widths, 512), "d": ReleasedDiscriminator(widths, spectral=True)}
    for part, network in networks.items():
        found = {key: list(value.shape) for key, value in network.state_dict().items()}
        assert list(found.items()) == [(key, entry["shape"]) for key, entry in manifest[part].items()]


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_names_order_and_buffers_are_the_releases(size: int, spectral: bool) -> None:
    model = ModelSection(size=size, latent_dim=16, g_width=16, d_width=8, spectral_norm=spectral)
    g_widths, d_widths = (list(model.channels(network).values()) for network in ("g", "d"))
    pairs = (
        (ReleasedGenerator(g_widths), generator_layout(model), Generator(model)),
        (ReleasedDiscriminator(d_widths, spectral), discriminator_layout(model), WaveletDiscriminator(model)),
    )
    for released, layout, ours in pairs:
        state, own = released.state_dict(), ours.state_dict()
        assert list(layout) == list(state)
        weights = {entry: state[key].shape for key, entry in layout.items() if isinstance(entry, str)}
        assert weights == {name: value.shape for name, value in own.items()}
        for key, entry in layout.items():
            if isinstance(entry, Buffer) and not key.endswith("_float_tensor"):
                assert_same(entry.build(), state[key], key)


# Dimensions


def shapes_of(model: ModelSection) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    with meta_init():
        networks = Generator(model), WaveletDiscriminator(model)
    names = generator_names(model), discriminator_names(model)
    return tuple(  # type: ignore[return-value]
        {theirs: tuple(state[ours].shape) for ours, theirs in name.items()}
        for state, name in zip((network.state_dict() for network in networks), names, strict=True)
    )


def section_of(model: ModelSection) -> ModelSection:
    g_shapes, d_shapes = shapes_of(model)
    section = generator_section(g_shapes)
    return ModelSection(**section, **discriminator_section(d_shapes, section["size"]))


@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize("size", [16, 32, 64, 128, 256, 512, 1024])
def test_every_size_and_multiplier_is_read_off_the_shapes(size: int, multiplier: int) -> None:
    model = ModelSection(size=size, g_multiplier=multiplier, d_multiplier=2, spectral_norm=multiplier != 2)
    found = section_of(model)
    assert differing_keys(found, model) == []
    if size >= 64:
        assert found.g_multiplier == multiplier
        assert found.g_channels is found.d_channels is None


models = st.builds(
    ModelSection,
    size=st.sampled_from([16, 32, 64, 128]),
    latent_dim=st.integers(1, 64),
    mapping_layers=st.integers(1, 12),
    g_width=st.sampled_from([32, 64, 128]),
    g_multiplier=st.sampled_from([1, 2, 4]),
    d_width=st.integers(4, 40),
    d_multiplier=st.integers(1, 4),
    window=st.sampled_from([4, 8, 16]),
    mlp_ratio=st.integers(1, 6),
    head_dim=st.sampled_from([4, 8, 16, 32]),
    min_heads=st.sampled_from([2, 4]),
    spectral_norm=st.booleans(),
)


@settings(max_examples=30, deadline=None)
@given(models)
def test_other_dimensions_are_read_off_the_shapes_too(model: ModelSection) -> None:
    found = section_of(model)
    assert [key for key in differing_keys(found, model) if key not in ("head_dim", "min_heads")] == []
    for width in model.channels("g").values():  # several rules may give the same heads
        assert found.heads_of(width) == model.heads_of(width)


def test_channels_that_follow_no_rule_are_spelled_out(tmp_path: Path) -> None:
    path = saved(tmp_path, released_checkpoint([16, 32, 8, 24], [8, 4, 9, 6]))
    model = read_original(path).recipe.model
    assert model.g_channels == [16, 32, 8, 24]
    assert model.d_channels is not None
    assert [model.d_channels[index] for index in (0, 1, 3)] == [8, 4, 6]  # no layer tells the one at half the size


# Reading


def test_weights_arrive_under_our_names_and_buffers_are_not_trusted(tmp_path: Path) -> None:
    content = checkpoint()
    expected = {part: {key: value.clone() for key, value in content[part].items()} for part in ("g_ema", "g", "d")}
    for part in ("g_ema", "g", "d"):
        for key, value in content[part].items():
            if key.endswith(("index", "mask2", "kernel", "ll", "lh", "hl", "hh", "_float_tensor")):
                value.fill_(7)
    snapshot = read_original(saved(tmp_path, content))
    assert snapshot.parts == ["g_ema", "g", "d", "g_optim", "d_optim"]
    model = snapshot.recipe.model
    assert (model.size, model.latent_dim, model.mapping_layers, model.spectral_norm) == (16, 16, 8, True)
    assert (model.pixel_mean, model.pixel_std) == tuple(IMAGENET.values())
    names = {"g_ema": generator_names(model), "g": generator_names(model), "d": discriminator_names(model)}
    for part, weights in (("g_ema", snapshot.average), ("g", snapshot.generator), ("d", snapshot.discriminator)):
        assert weights is not None
        assert_same(weights, {ours: expected[part][theirs] for ours, theirs in names[part].items()}, part)


def test_a_network_wrapped_for_several_gpus_is_unwrapped(tmp_path: Path) -> None:
    content = checkpoint()
    plain = read_original(saved(tmp_path, content))
    for part in ("g_ema", "g", "d"):
        content[part] = collections.OrderedDict((f"module.{key}", value) for key, value in content[part].items())
    wrapped = read_original(saved(tmp_path, content))
    assert_same(plain.average, wrapped.average)
    assert_same(plain.discriminator, wrapped.discriminator)
    assert plain.g_optimizer is not None
    assert wrapped.g_optimizer is not None
    assert_same(plain.g_optimizer.moments, wrapped.g_optimizer.moments)


def test_parts_may_be_missing_or_one_tensor(tmp_path: Path) -> None:
    content = checkpoint()
    alone = read_original(saved(tmp_path, {"g_ema": content["g_ema"]}))
    assert alone.parts == ["g_ema"]
    assert alone.images_seen == 0
    twice = saved(tmp_path, {"g_ema": content["g_ema"], "g": content["g_ema"]})
    save_snapshot(tmp_path / "model.safetensors", read_snapshot(twice))
    assert read_snapshot(tmp_path / "model.safetensors").parts == ["g_ema", "g"]


def test_the_format_of_older_pytorch_is_read(tmp_path: Path) -> None:
    content = checkpoint()
    old = saved(tmp_path, content, "old.pt", _use_new_zipfile_serialization=False)
    assert_same(read_original(old).average, read_original(saved(tmp_path, content)).average)


def test_moments_belong_to_the_parameters_that_they_were_taken_from(tmp_path: Path) -> None:
    content = checkpoint(steps=3)
    snapshot = read_original(saved(tmp_path, content))
    for part, state, names in (
        ("g", snapshot.g_optimizer, generator_names(snapshot.recipe.model)),
        ("d", snapshot.d_optimizer, discriminator_names(snapshot.recipe.model)),
    ):
        assert state is not None
        assert state.steps == 3
        kinds = ("bias", "weight", "weight_orig", "input", "alpha", "relative_position_bias_table")
        theirs = [key for key in content[part] if key.rpartition(".")[2] in kinds]
        stored = content[f"{part}_optim"]["state"]
        assert len(theirs) == len(stored) == len(state.moments)
        ours = {key: name for name, key in names.items()}
        for number, key in enumerate(theirs):
            assert torch.equal(state.moments[ours[key]]["exp_avg"], stored[number]["exp_avg"])


def test_moments_follow_the_files_own_order_of_keys(tmp_path: Path) -> None:
    content = checkpoint()
    reference = read_original(saved(tmp_path, content))
    network = list(content["g"].items())
    swapped = ["style.1.weight", "style.2.weight"]  # of one shape, so that only the order tells them apart
    positions = [index for index, (key, _) in enumerate(network) if key in swapped]
    network[positions[0]], network[positions[1]] = network[positions[1]], network[positions[0]]
    path = saved(tmp_path, {**content, "g": dict(network)})
    other = read_original(path)
    assert reference.g_optimizer is not None
    assert other.g_optimizer is not None
    one, two = ("mapping.1.weight", "mapping.2.weight")
    assert_same(other.g_optimizer.moments[one], reference.g_optimizer.moments[two])
    save_snapshot(tmp_path / "model.safetensors", other)
    write_original(tmp_path / "back.pt", read_snapshot(tmp_path / "model.safetensors"))
    back = torch.load(tmp_path / "back.pt", weights_only=False)
    assert list(back["g"]) == [key for key, _ in network]
    assert_same(back["g_optim"], content["g_optim"])


def test_a_file_whose_keys_were_sorted_keeps_its_moments(tmp_path: Path) -> None:
    content = checkpoint()
    reference = read_original(saved(tmp_path, content))
    content["g"] = dict(sorted(content["g"].items()))
    other = read_original(saved(tmp_path, content))
    assert reference.g_optimizer is not None
    assert other.g_optimizer is not None
    assert_same(other.g_optimizer.moments, reference.g_optimizer.moments)


# Refused files


class Payload:
    """A pickle that makes a file when it is opened."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.made),)


class OddNamespace(argparse.Namespace):
    pass


@pytest.mark.parametrize("where", ["args", "g", "inside args"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, where: str, zipped: bool) -> None:
    content, payload = checkpoint(), Payload(tmp_path / "made")
    if where == "inside args":
        content["args"].trick = payload
    else:
        content[where] = payload
    path = saved(tmp_path, content, _use_new_zipfile_serialization=zipped)
    for read in (read_original, read_snapshot, lambda path: load_model(path, CPU)):
        with pytest.raises(CheckpointError, match=r"released\.pt: refused: opening it would run code \(posix\.mkdir\)"):
            read(path)
    assert not payload.made.exists()
    torch.load(path, weights_only=False)  # the payload is live
    assert payload.made.exists()


def test_a_bare_pickle_and_other_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.pt"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "made")))
    with pytest.raises(CheckpointError, match=r"bare\.pt: (refused|damaged)"):
        load_model(path, CPU)
    assert not (tmp_path / "made").exists()
    odd = saved(tmp_path, checkpoint() | {"args": OddNamespace()})
    with pytest.raises(CheckpointError, match=r"refused: opening it would run code \(.*OddNamespace\)"):
        load_model(odd, CPU)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut short", b"\x80\x02\x8a\nl\xfc", bytes(4096)])
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"garbage\.pt: damaged"):
        load_model(path, CPU)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, checkpoint())
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(path, CPU)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files inside a checkpoint."""
    path = saved(tmp_path_factory.mktemp("archive"), checkpoint(steps=1))
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@settings(max_examples=25, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 9_999), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_pickle_is_read_or_refused_and_nothing_else(
    archive: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "damaged.pt"
    with zipfile.ZipFile(path, "w") as out:
        for name, content in archive.items():
            damaged = bytearray(content)
            for place, value in changes if name.endswith("data.pkl") else ():
                damaged[place * len(damaged) // 10_000] = value
            out.writestr(name, damaged)
    try:
        said = f"{path}: {read_original(path).recipe.model.size} px"
    except CheckpointError as error:
        said = error.message
    assert said.startswith(str(path))


def test_content_counts_more_than_the_name(tmp_path: Path) -> None:
    original = saved(tmp_path, checkpoint())
    model = tmp_path / "model.safetensors"
    save_snapshot(model, read_snapshot(original))
    expected = sorted(read_snapshot(original).average.items())
    for path in (model.rename(tmp_path / "model.pt"), original.rename(tmp_path / "original.ckpt")):
        assert_same(sorted(read_snapshot(path).average.items()), expected)


@pytest.mark.parametrize("content", [[1, 2], {}, {"g_ema": 3}, {"model": {"x": torch.zeros(1)}}, torch.zeros(3)])
def test_other_files_of_pytorch_are_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CheckpointError, match="has no g_ema"):
        load_model(saved(tmp_path, content), CPU)


def test_a_state_of_ours_points_to_the_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_model(saved(tmp_path, {"format": "swincli-state-1", "images_seen": 4}), CPU)
    assert caught.value.hint is not None
    assert "model-*.safetensors" in caught.value.hint


@pytest.mark.parametrize("content", [{}, {"conv.weight": torch.zeros(3, 3)}])
def test_another_network_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CheckpointError, match="is not a StyleSwin generator"):
        read_original(saved(tmp_path, {"g_ema": content}))


def test_every_misfit_is_listed_in_one_error(tmp_path: Path) -> None:
    content = checkpoint()
    del content["g_ema"]["layers.1.blocks.0.qkv.weight"]
    content["g_ema"]["style.3.bias"] = torch.zeros(17)
    content["g"]["layers.0.noise"] = torch.zeros(1)
    content["g"]["to_rgbs.1.bias"] = torch.zeros(1, 3, 1, 1, dtype=torch.int64)
    del content["d"]["convs.0.conv1.0.weight_u"]
    content["d"]["final_linear.2.bias"] = "text"
    content["g_optim"]["state"][4]["exp_avg"] = torch.zeros(5)
    content["d_optim"]["state"][2] = {"step": 1}
    with pytest.raises(CheckpointError) as caught:
        read_original(saved(tmp_path, content))
    first, *problems = caught.value.message.splitlines()
    assert first.endswith("released.pt: does not fit StyleSwin's networks")
    assert [problem.strip() for problem in problems] == [
        "g_ema: missing layers.1.blocks.0.qkv.weight",
        "g_ema: style.3.bias is (17,), not (16,)",
        "g: to_rgbs.1.bias is (), not (1, 3, 1, 1)",
        "g: unknown layers.0.noise",
        "d: final_linear.2.bias is (), not (1,)",
        "d: missing convs.0.conv1.0.weight_u",
        "g_optim: parameter 4 (mapping.3.weight): exp_avg is (5,), not (16, 16)",
        "d_optim: parameter 2 (from_wavelet.1.kernel.weight): has step, not step, exp_avg, exp_avg_sq",
    ]


@pytest.mark.parametrize("changed", [None, (), (2, 3, 5)])
def test_no_single_missing_or_misshapen_weight_changes_what_is_read_off_the_rest(changed: Any) -> None:
    model = ModelSection(size=32, latent_dim=24, mapping_layers=3, g_width=16, d_channels=[8, 8, 5, 4])
    g_shapes, d_shapes = shapes_of(model)
    g_section, d_section = generator_section(g_shapes), discriminator_section(d_shapes, 32)
    for shapes, read, section in (
        (g_shapes, generator_section, g_section),
        (d_shapes, lambda shapes: discriminator_section(shapes, 32), d_section),
    ):
        for key in shapes:
            rest = {other: shape for other, shape in shapes.items() if other != key}
            assert read(rest if changed is None else rest | {key: changed}) == section, key


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "not the state of an Adam"),
        ({"state": {}, "param_groups": []}, "not the state of an Adam"),
        ({"state": {}, "param_groups": [{"params": [0, 1]}]}, "2 parameters, not"),
        ({"state": {9999: {}}, "param_groups": [{"params": list(range(118))}]}, "unknown parameter 9999"),
        ({"state": 3, "param_groups": 4}, "not the state of an Adam"),
        ({"state": {}, "param_groups": [{"params": [{}, []]}]}, "not the state of an Adam"),
    ],
)
def test_other_optimisers_are_refused(tmp_path: Path, state: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_original(saved(tmp_path, checkpoint() | {"g_optim": state}))


def test_networks_of_two_sizes_are_refused(tmp_path: Path) -> None:
    content = checkpoint() | {"d": released_checkpoint([16] * 4, [8] * 4)["d"]}
    with pytest.raises(CheckpointError, match=r"d: unknown convs\.1"):
        read_original(saved(tmp_path, content))


# Recipes from arguments


def arguments_of(name: str) -> dict[str, Any]:
    """The release's command line for a published run, with the defaults that it adds."""
    shared = {"r1": 10, "d_reg_every": 16, "G_lr": 2e-4, "D_lr": 2e-4, "ttur": True, "beta1": 0.0, "beta2": 0.99}
    shared |= {"bcr": False, "bcr_real_lambda": 10, "bcr_fake_lambda": 10, "use_flip": False, "distributed": True}
    decay = {"iter": 800_000, "lr_decay": False, "lr_decay_start_steps": 800_000}
    return (
        shared
        | decay
        | {
            "ffhq256": {"batch": 4, "bcr": True, "lr_decay": True, "lr_decay_start_steps": 775_000, "iter": 1_000_000},
            "celebahq256": {"batch": 4, "bcr": True, "r1": 5, "lr_decay": True, "lr_decay_start_steps": 500_000},
            "church256": {
                **{"batch": 4, "use_flip": True, "r1": 5, "lr_decay": True},
                **{"lr_decay_start_steps": 1_300_000, "iter": 1_500_000},
            },
            "ffhq1024": {"batch": 2, "lr_decay": True, "lr_decay_start_steps": 600_000},
            "celebahq1024": {"batch": 2},
        }[name]
    )


@pytest.mark.parametrize("name", ["ffhq256", "celebahq256", "church256", "ffhq1024", "celebahq1024"])
@pytest.mark.parametrize("steps", [300_000, 790_000])
def test_a_published_run_is_recognised(name: str, steps: int) -> None:
    from swincli.model.files.official.arguments import recipe_of

    published = load_recipe(str(find_shipped(name)))
    model = ModelSection(**{**published.model.model_dump(), **IMAGENET})
    found = recipe_of(arguments_of(name), model, steps)
    assert found == published.model_copy(update={"model": model})


def test_other_arguments_are_laid_over_the_defaults(tmp_path: Path) -> None:
    told = {"iter": 1000, "batch": 8, "r1": 3.5, "G_lr": 1e-4, "D_lr": 3e-4, "use_flip": True, "bcr": True}
    path = saved(tmp_path, checkpoint(**told, bcr_real_lambda=2.0, bcr_fake_lambda=4.0))
    recipe = read_original(path).recipe
    train, loss = recipe.train, recipe.loss
    assert (train.total, train.batch, train.g_lr, train.d_lr, train.decay_from) == (8000, 8, 1e-4, 3e-4, None)
    assert (loss.r1_gamma, loss.bcr_real, loss.bcr_fake) == (3.5, 2.0, 4.0)
    assert (recipe.augment.flip, recipe.ema.half_life) == (True, 2500)


def test_rates_that_have_begun_to_fall_are_not_taken_for_the_runs(tmp_path: Path) -> None:
    told = {"iter": 1000, "lr_decay": True, "lr_decay_start_steps": 500, "G_lr": 1e-5, "D_lr": 4e-5, "ttur": True}
    content = checkpoint(**told)
    assert read_original(saved(tmp_path, content, "000900.pt")).recipe.train.d_lr == Recipe().train.d_lr
    assert read_original(saved(tmp_path, content, "000400.pt")).recipe.train.d_lr == 4e-5


@pytest.mark.parametrize("told", [{"iter": -3}, {"batch": "x", "iter": None}, {"lr_decay": 7, "r1": -1.0}])
def test_odd_arguments_do_no_harm(tmp_path: Path, told: dict[str, Any]) -> None:
    recipe = read_original(saved(tmp_path, checkpoint(**told))).recipe
    assert recipe.model.size == 16
    assert recipe.loss.r1_gamma == Recipe().loss.r1_gamma


def test_images_seen_come_from_the_name_or_the_optimiser(tmp_path: Path) -> None:
    content = checkpoint(steps=3)
    assert read_original(saved(tmp_path, content, "850000.pt")).images_seen == 850_000 * 4
    assert read_original(saved(tmp_path, content, "FFHQ_256.pt")).images_seen == 3 * 4
    content["args"].distributed = True
    assert read_original(saved(tmp_path, content, "850000.pt")).images_seen == 850_000 * 32
    assert read_original(saved(tmp_path, {"g_ema": content["g_ema"]}, "100.pt")).images_seen == 100 * 32
    assert read_original(saved(tmp_path, {"g_ema": content["g_ema"]})).images_seen == 0


# Writing


def round_trip(path: Path) -> dict[str, Any]:
    """Convert to a model file and back, and load the result as the release does."""
    model, back = path.with_name("model.safetensors"), path.with_name("back.pt")
    save_snapshot(model, read_snapshot(path))
    write_original(back, read_snapshot(model))
    content: dict[str, Any] = torch.load(back, weights_only=False)
    return content


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize(("g_widths", "d_widths"), [(G_WIDTHS, D_WIDTHS), ([16, 16, 16, 32, 8], [8, 4, 4, 4, 2])])
def test_there_and_back_is_bit_equal(tmp_path: Path, g_widths: list[int], d_widths: list[int], spectral: bool) -> None:
    content = released_checkpoint(g_widths, d_widths, spectral=spectral, iter=1000, note=None)
    back = round_trip(saved(tmp_path, content))
    assert vars(back["args"]) == vars(content["args"])
    assert_same({**content, "args": None}, {**back, "args": None})


def test_the_release_can_load_what_comes_back(tmp_path: Path) -> None:
    back = round_trip(saved(tmp_path, checkpoint()))
    generator, discriminator = ReleasedGenerator(G_WIDTHS), ReleasedDiscriminator(D_WIDTHS, spectral=True)
    generator.load_state_dict(back["g"])
    generator.load_state_dict(back["g_ema"])
    discriminator.load_state_dict(back["d"])
    for network, part in ((generator, "g_optim"), (discriminator, "d_optim")):
        adam = optimizer(network, 0, 1.0)
        adam.load_state_dict(back[part])
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        adam.step()
        assert next(iter(adam.state.values()))["step"] == 3


def test_whole_steps_of_older_pytorch_come_back_whole(tmp_path: Path) -> None:
    content = checkpoint()
    for part in ("g_optim", "d_optim"):
        for entry in content[part]["state"].values():
            entry["step"] = int(entry["step"])
    assert_same(content["g_optim"], round_trip(saved(tmp_path, content))["g_optim"])


def test_images_seen_come_back_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = saved(tmp_path, checkpoint(), "000123.pt")
    assert read_original(path).images_seen == 492
    assert round_trip(path)["args"].images_seen == 492
    assert read_original(tmp_path / "back.pt").images_seen == 492
    assert read_original((tmp_path / "back.pt").rename(tmp_path / "7.pt")).images_seen == 492


@pytest.mark.parametrize("notes", [3, {"g_optimizer": 3}, {"g_optimizer": {"order": []}}, {"arguments": 4}])
def test_a_model_whose_notes_are_damaged_is_refused(tmp_path: Path, notes: Any) -> None:
    path = tmp_path / "model.safetensors"
    save_snapshot(path, read_original(saved(tmp_path, checkpoint())))
    with safetensors.safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["swincli"])
    metadata = {"swincli": json.dumps({**about, "training": notes})}
    safetensors.torch.save_file(safetensors.torch.load_file(path), tmp_path / "odd.safetensors", metadata)
    with pytest.raises(CheckpointError, match=r"odd\.safetensors: its metadata is damaged"):
        read_snapshot(tmp_path / "odd.safetensors")


def test_a_model_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    snapshot = read_original(saved(tmp_path, checkpoint()))
    assert snapshot.discriminator is not None
    snapshot.discriminator["logit.bias"] = torch.zeros(2)
    save_snapshot(tmp_path / "odd.safetensors", snapshot)
    with pytest.raises(CheckpointError, match=r"logit\.bias is \(2,\), not \(1,\)"):
        read_snapshot(tmp_path / "odd.safetensors")


def trained(**model: Any) -> Snapshot:
    """The EMA weights of a swincli run, changed so that they have a visible effect."""
    section = ModelSection(size=16, latent_dim=16, mapping_layers=2, g_width=16, d_width=8, adain_gamma=1.0, **model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        generator = Generator(section)
    for parameter in generator.parameters():
        parameter.data.mul_(2).add_(0.05)
    return Snapshot(Recipe(model=section), 1234, dict(generator.state_dict()))


def pictures(path: Path) -> torch.Tensor:
    model = load_model(path, CPU)
    z = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    section = model.recipe.model
    return to_pictures(model.generator(z), section.pixel_mean, section.pixel_std).int()


def test_a_run_of_ours_gives_the_same_pictures_in_the_releases_range(tmp_path: Path) -> None:
    snapshot = trained()
    save_snapshot(tmp_path / "model.safetensors", snapshot)
    write_original(tmp_path / "back.pt", read_snapshot(tmp_path / "model.safetensors"))
    content = torch.load(tmp_path / "back.pt", weights_only=False)
    assert list(content) == ["g_ema", "args"]
    assert (content["args"].size, content["args"].G_channel_multiplier, content["args"].n_mlp) == (16, 2, 2)
    back = load_model(tmp_path / "back.pt", CPU)
    assert back.images_seen == 1234
    assert back.recipe.model.pixel_mean == IMAGENET["pixel_mean"]
    one, two = pictures(tmp_path / "model.safetensors"), pictures(tmp_path / "back.pt")
    assert one.float().std() > 20
    assert (one - two).abs().max() <= 1


def test_networks_that_the_release_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no such networks\n  model.position = 'none'"):
        write_original(tmp_path / "back.pt", trained(position="none"))
    content = original_content(trained(wavelet="db2"), "back")  # G knows nothing of it
    assert list(content) == ["g_ema", "args"]
    carrying = read_original(saved(tmp_path, checkpoint()))
    model = carrying.recipe.model.model_copy(update={"wavelet": "db2", "pixel_mean": (0.5, 0.5, 0.5)})
    odd = Snapshot(
        carrying.recipe.model_copy(update={"model": model}), 0, carrying.average, None, carrying.discriminator
    )
    with pytest.raises(CheckpointError) as caught:
        original_content(odd, "back")
    assert [line.split()[0] for line in caught.value.message.splitlines()[1:]] == [
        "model.wavelet",
        "model.pixel_mean",
        "model.pixel_std",
    ]


def test_what_the_releases_code_cannot_build_is_known() -> None:
    assert unsupported_by_release(ModelSection(**IMAGENET)) == []
    assert unsupported_by_release(ModelSection(size=1024, g_multiplier=1, latent_dim=256, spectral_norm=False)) == []
    assert unsupported_by_release(ModelSection(window=16, g_width=256)) == ["g_width", "window"]


# The parity weights


def test_the_releases_picture_comes_out_of_its_checkpoint(
    parity_64: ParityCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file, "MEAN_SAMPLES", 500)
    content = {"g_ema": {key: torch.from_numpy(value) for key, value in parity_64.g_weights.items()}}
    path = saved(tmp_path, {**content, "args": argparse.Namespace(size=64, batch=4)}, "000010.pt")
    model = load_model(path, CPU)
    assert (model.images_seen, model.recipe.model.g_multiplier) == (40, 2)
    image = model.generator(torch.from_numpy(parity_64.vectors["z"]).float())
    expected = torch.from_numpy(parity_64.vectors["image"])
    assert float((image - expected).norm() / expected.norm()) < 2e-5
    assert torch.equal(model.w_mean, mean_w(model.generator))
    std, mean = (torch.tensor(IMAGENET[key]).view(3, 1, 1) for key in ("pixel_std", "pixel_mean"))
    colours = ((expected * std + mean) * 255).clamp(0, 255).permute(0, 2, 3, 1)
    shown = to_pictures(image, model.recipe.model.pixel_mean, model.recipe.model.pixel_std)
    assert (shown.float() - colours).abs().max() < 1
