"""StyleNAT's checkpoints: reading both layouts, the images of the network, and refusals."""

from __future__ import annotations

import functools
import hashlib
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from release_skeleton import ReleasedDiscriminator
from stylenat_skeleton import LATENT, PlainStyleNat, dilations_at, generator_weights

from swincli.commands.app import run
from swincli.errors import CheckpointError
from swincli.model.files.model_file import load_model, read_snapshot
from swincli.model.files.official import read_original
from swincli.model.pixels import to_pictures

CPU = torch.device("cpu")
WIDTHS = [16, 16, 16, 8]  # up to 32 px
SAMPLES = {"legacy": "fef67d4b5cafb63b", "growing": "29437c2811f556fe"}  # start of the SHA-256 of the pixels


@functools.cache
def weights_of(layout: str) -> dict[str, torch.Tensor]:
    return generator_weights(WIDTHS, growing=layout == "growing")


def checkpoint(layout: str, **changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    discriminator = ReleasedDiscriminator([8, 8, 8, 4], spectral=True).state_dict()
    networks = {"g": weights_of(layout), "d": discriminator, "g_ema": weights_of(layout)}
    if layout == "legacy":
        optimizer = {"state": {}, "param_groups": []}
        return {**networks, "g_optim": optimizer, "args": Namespace(size=32, batch=8), **changes}
    dilations = [[1], *(dilations_at(level, growing=True) for level in range(1, 9))]
    told = {"runs": {"generator": {"dilations": dilations}}, "logging": {"nimages": 4096}}
    return {"state_dicts": networks, "optim_dicts": {}, "lr_dicts": {}, "args": told, **changes}


def saved(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "stylenat.pt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("layout", SAMPLES)
def test_the_images_are_those_of_stylenats_definition(tmp_path: Path, layout: str) -> None:
    source = saved(tmp_path, checkpoint(layout))
    if layout == "legacy":
        assert run(["convert", str(source), str(tmp_path / "model.safetensors")]) == 0
        source = tmp_path / "model.safetensors"
    model = load_model(source, CPU)
    config = model.recipe.model
    assert config.mixer == {"legacy": "na", "growing": "na-all"}[layout]
    assert [config.heads_at(side) for side in config.resolutions] == 4 * [4]
    assert model.images_seen == {"legacy": 0, "growing": 4096}[layout]
    z = torch.tensor([[1.0, -0.5, 2.0, 0.25, -1.5, 0.75, -0.125, 1.25]], dtype=torch.float64)
    assert z.shape[1] == LATENT
    wanted = PlainStyleNat(weights_of(layout), WIDTHS, growing=layout == "growing")(z)
    with torch.no_grad():
        image = model.generator.double()(z)
    assert 0.2 < wanted.std() < 5
    torch.testing.assert_close(image, wanted, rtol=1e-9, atol=1e-9)
    pictures = to_pictures(image, config.pixel_mean, config.pixel_std)
    assert hashlib.sha256(pictures.numpy().tobytes()).hexdigest()[:16] == SAMPLES[layout]


def test_all_networks_are_read_and_optimisers_are_not(tmp_path: Path) -> None:
    snapshot = read_original(saved(tmp_path, checkpoint("legacy")))
    assert snapshot.parts == ["g_ema", "g", "d"]
    assert snapshot.generator is not None
    assert snapshot.generator.keys() == snapshot.average.keys()


def test_a_file_with_the_networks_alone_is_read_too(tmp_path: Path) -> None:
    only = {"g_ema": checkpoint("legacy")["g_ema"]}
    assert read_snapshot(saved(tmp_path, only)).recipe.model.mixer == "na"


def test_other_dilations_are_refused(tmp_path: Path) -> None:
    around: dict[str, Any] = {"dilations": [[1], [1], [1, 1], [1, 4]]}
    content = checkpoint("legacy", args={"itself": around, "runs": around})
    around["again"] = around
    with pytest.raises(CheckpointError, match=r"stylenat.pt: its dilations at 16 px are \[1, 1\], not \[1, 2\]"):
        read_original(saved(tmp_path, content))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (
            "layers.2.blocks.0.attn.rpb1",
            torch.zeros(2, 9, 9),
            "layers.2.blocks.0.attn.rpb.1 is (2, 9, 9), not (2, 13,",
        ),
        ("layers.0.blocks.1.attn.rpb", torch.zeros(3), "unknown layers.0.blocks.1.attn.rpb"),
        ("layers.1.blocks.1.attn.proj.bias", None, "missing layers.1.blocks.1.proj.bias"),
        ("layers.1.blocks.1.gamma1", torch.ones(16), "unknown layers.1.blocks.1.gamma1"),
    ],
)
def test_every_other_weight_is_named(tmp_path: Path, key: str, value: torch.Tensor | None, reason: str) -> None:
    content = checkpoint("legacy")
    for network in ("g", "g_ema"):
        content[network] = {name: entry for name, entry in content[network].items() if name != key}
        if value is not None:
            content[network][key] = value
    with pytest.raises(CheckpointError) as caught:
        read_original(saved(tmp_path, content))
    assert f"g_ema: {reason}" in str(caught.value)


def test_no_code_is_run(tmp_path: Path) -> None:
    class Config(dict):  # type: ignore[type-arg]
        pass

    globals()["Config"] = Config
    Config.__qualname__ = "Config"
    path = saved(tmp_path, checkpoint("legacy", args=Config()))
    with pytest.raises(CheckpointError, match="refused: opening it would run code"):
        read_original(path)


def test_the_recipe_goes_with_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = saved(tmp_path, checkpoint("legacy"))
    assert run(["convert", str(source), str(tmp_path / "model.safetensors"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parts"] == ["g_ema", "g", "d"]
    assert run(["convert", str(tmp_path / "model.safetensors"), str(tmp_path / "back.pt")]) == 1
    assert "the original release has no such networks" in capsys.readouterr().err
