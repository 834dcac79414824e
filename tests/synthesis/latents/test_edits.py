"""Directions with names: their files, edits in w and in style channels, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from swincli.errors import CheckpointError, DataError, UsageError
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.synthesis.latents.edits import Amount, make_editor, open_edits, parse_edit
from swincli.synthesis.latents.named_directions import (
    Judge,
    NamedDirection,
    check_name,
    directions_folder,
    known_directions,
    open_direction,
    read_direction,
    save_direction,
)
from swincli.synthesis.latents.style_channels import StyleChannel, all_channels, style_layers, style_values

SIZES = {"size": 16, "latent_dim": 8, "mapping_layers": 1, "g_width": 16, "d_width": 8, "adain_gamma": 1.0}


def _save(path: Path, seed: int = 0, **keys: object) -> Model:
    recipe = Recipe.model_validate({"model": {**SIZES, **keys}, "data": {"path": "none"}})
    torch.manual_seed(seed)
    save_model(path, Generator(recipe.model), recipe, 0)
    return load_model(path, torch.device("cpu"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return _save(tmp_path_factory.mktemp("run") / "model.safetensors")


def _unsaved(style: str) -> Model:
    recipe = Recipe.model_validate({"model": {**SIZES, "style": style}, "data": {"path": "none"}})
    return Model(Generator(recipe.model).eval().requires_grad_(False), recipe, 0, torch.zeros(8), Path("none"))


def _in_w(model: Model, **keys: object) -> NamedDirection:
    vector = torch.randn(8, generator=torch.Generator().manual_seed(1))
    found = NamedDirection(
        "smile", "w", vector / vector.norm(), 0.5, tuple(range(6)), model_identity(model.path), "test"
    )
    return replace(found, **keys)  # type: ignore[arg-type]


def _in_style(model: Model, channels: list[StyleChannel], steps: list[float]) -> NamedDirection:
    identity = model_identity(model.path)
    return NamedDirection("hat", "style", torch.tensor(steps), 1.0, (), identity, "test", tuple(channels))


def _codes(count: int = 3, seed: int = 2) -> torch.Tensor:
    return torch.randn(count, 6, 8, generator=torch.Generator().manual_seed(seed))


def test_a_direction_comes_back_from_its_file(model: Model, tmp_path: Path) -> None:
    judge = Judge(torch.arange(4.0), 0.5, 2.0)
    direction = _in_w(model, judge=judge, quality={"accuracy": 0.9}, layers=(0, 3))
    save_direction(tmp_path / "smile.safetensors", direction)
    again = read_direction(tmp_path / "smile.safetensors", model)
    assert torch.equal(again.vector, direction.vector)
    assert (again.sigma, again.layers, again.quality, again.digest) == (
        0.5,
        (0, 3),
        {"accuracy": 0.9},
        direction.digest,
    )
    assert again.judge is not None
    assert torch.equal(again.judge.weights, judge.weights)
    assert (again.judge.bias, again.judge.spread) == (0.5, 2.0)
    assert (tmp_path / "smile.safetensors").stat().st_size < 2000


def test_directions_lie_beside_the_model_by_its_hash(model: Model) -> None:
    folder = directions_folder(model)
    assert folder == model.path.parent / "directions" / model_identity(model.path)
    save_direction(folder / "smile.safetensors", _in_w(model))
    assert list(known_directions(model)) == ["smile"]
    assert torch.equal(open_direction(model, "smile").vector, _in_w(model).vector)
    with pytest.raises(UsageError, match='no direction of this name; did you mean "smile"') as caught:
        open_direction(model, "smil")
    assert "Known: smile" in (caught.value.hint or "")


def test_a_direction_of_another_model_is_refused(model: Model, tmp_path: Path) -> None:
    other = _save(tmp_path / "other.safetensors", seed=1)
    save_direction(tmp_path / "smile.safetensors", _in_w(model))
    with pytest.raises(DataError, match=r"smile.safetensors: a direction of another model"):
        open_direction(other, str(tmp_path / "smile.safetensors"))


def test_damaged_files_are_named(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "smile.safetensors"
    with pytest.raises(DataError, match="no such direction"):
        open_direction(model, str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        open_direction(model, str(path))
    with pytest.raises(CheckpointError, match="not a direction"):
        read_direction(model.path, model)
    for wrong in (
        _in_w(model, vector=torch.ones(5)),
        _in_w(model, layers=(6,)),
        _in_w(model, vector=torch.full((8,), torch.nan)),
    ):
        save_direction(path, wrong)
        with pytest.raises(CheckpointError, match="does not fit the model"):
            read_direction(path, model)
    for name in ("../../.config/smile", "/smile", "a\\b", ""):
        save_direction(path, _in_w(model, name=name))
        with pytest.raises(CheckpointError, match=r"smile\.safetensors: damaged: .*not a name for a direction"):
            read_direction(path, model)
    save_direction(path, _in_style(model, [StyleChannel(0, 1, "gamma", 999)], [1.0]))
    with pytest.raises(CheckpointError, match="does not fit the model"):
        read_direction(path, model)


@pytest.mark.parametrize("name", ["", "3", "a=b", "a,b", "../a", "a b", "x" * 65])
def test_names_that_would_not_fit_the_command_line_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a name"):
        check_name(name)


def test_edits_are_read() -> None:
    assert parse_edit("smile=+1.5, age=-1,a=b.safetensors=2") == [
        Amount("smile", 1.5),
        Amount("age", -1.0),
        Amount("a=b.safetensors", 2.0),
    ]
    for text in ("", "smile", "smile=", "=1", "smile=much", "smile=nan", "smile=1,,age=2"):
        with pytest.raises(ValueError, match="is not a direction and a number"):
            parse_edit(text)


def test_plus_and_minus_return(model: Model) -> None:
    codes, editor = _codes(), make_editor(model, [_in_w(model, layers=(1, 4))])
    there = editor.move(codes, torch.tensor([2.5]))
    assert not torch.equal(there[:, [1, 4]], codes[:, [1, 4]])
    assert torch.equal(there[:, [0, 2, 3, 5]], codes[:, [0, 2, 3, 5]])
    torch.testing.assert_close(editor.move(there, torch.tensor([-2.5])), codes, rtol=0, atol=1e-6)
    step = (there - codes)[:, 1].norm(dim=1)
    torch.testing.assert_close(step, torch.full((3,), 2.5 * 0.5))


def test_images_move_by_their_own_steps(model: Model) -> None:
    codes, editor = _codes(), make_editor(model, [_in_w(model)])
    together = editor.move(codes, torch.tensor([[0.0], [1.0], [-3.0]]))
    for row, step in enumerate((0.0, 1.0, -3.0)):
        torch.testing.assert_close(together[row], editor.move(codes[row : row + 1], torch.tensor([step]))[0])


def test_a_list_of_edits_adds_up(model: Model) -> None:
    save_direction(directions_folder(model) / "smile.safetensors", _in_w(model))
    edits = open_edits(model, [[Amount("smile", 1.0), Amount("smile", 0.5)], [Amount("smile", -1.0)]])
    assert edits.steps.tolist() == [[1.5], [-1.0]]
    assert "smile=+1,smile=+0.5;smile=-1" in edits.note
    with pytest.raises(UsageError, match="--edit smirk"):
        open_edits(model, [[Amount("smirk", 1.0)]])


def test_a_style_channel_moves_alone(model: Model) -> None:
    channel = StyleChannel(3, 2, "beta", 5)
    editor = make_editor(model, [_in_style(model, [channel], [0.25])])
    codes = _codes()
    moved = editor.move(codes, torch.tensor([2.0]))
    assert moved.shape == (3, 6, 9)
    before, after = style_values(model.generator, codes), style_values(editor.model.generator, moved)
    change = after - before
    place = all_channels(model.generator).index(channel)
    torch.testing.assert_close(change[:, place], torch.full((3,), 0.5))
    change[:, place] = 0
    assert change.abs().max() < 1e-5
    still = editor.model.generator.synthesise(editor.move(codes, torch.zeros(1)))
    torch.testing.assert_close(still, model.generator.synthesise(codes), rtol=1e-4, atol=1e-5)
    assert (editor.model.generator.synthesise(moved) - still).abs().max() > 1e-4


def test_a_style_edit_equals_the_w_edit_that_gives_the_same_gammas(model: Model) -> None:
    """The affine of one code is inverted by least squares; a move in w at that code is one of its channels."""
    code, w_move = 2, torch.randn(8, generator=torch.Generator().manual_seed(5))
    layers = [layer for layer in style_layers(model.generator) if layer.code == code]
    affine = torch.cat([layer.layer.weight * layer.layer.scale for layer in layers])
    wanted = affine @ w_move
    found = torch.linalg.lstsq(affine.double(), wanted.double()[:, None]).solution[:, 0].float()
    torch.testing.assert_close(found, w_move, rtol=1e-4, atol=1e-4)
    channels = [one for one in all_channels(model.generator) if one.code == code]
    style = make_editor(model, [_in_style(model, channels, wanted.tolist())])
    in_w = make_editor(model, [_in_w(model, vector=found / found.norm(), sigma=float(found.norm()), layers=(code,))])
    codes = _codes()
    one, other = (
        editor.model.generator.synthesise(editor.move(codes, torch.tensor([1.5]))) for editor in (style, in_w)
    )
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("style", ["none", "modulated-mlp", "cross-attention"])
def test_models_without_adaptive_norms_have_no_style_channels(style: str) -> None:
    assert all_channels(_unsaved(style).generator) == []


@pytest.mark.parametrize("style", ["adaln", "adabn"])
def test_other_adaptive_norms_have_channels_too(style: str) -> None:
    other, channel = _unsaved(style), StyleChannel(0, 1, "gamma", 0)
    editor = make_editor(other, [NamedDirection("hat", "style", torch.ones(1), 1.0, (), "", "test", (channel,))])
    codes = _codes()
    still = editor.model.generator.synthesise(editor.move(codes, torch.zeros(1)))
    torch.testing.assert_close(still, other.generator.synthesise(codes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text", ["5.1.gamma.37", "0.2.beta.0"])
def test_channels_have_names(text: str) -> None:
    assert str(StyleChannel.parse(text)) == text


@pytest.mark.parametrize("text", ["", "5.3.gamma.1", "5.1.delta.1", "5.1.gamma"])
def test_other_names_are_no_channels(text: str) -> None:
    with pytest.raises(ValueError, match="no style channel"):
        StyleChannel.parse(text)
