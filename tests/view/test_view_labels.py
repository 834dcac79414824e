"""Pictures of models with attributes: the bytes of `sample --label`, what the page hears of them, and wrong values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import torch
from attribute_stores import ATTRIBUTES, EACH, attribute_rows
from sampled_models import sample, save_shown_model

from swincli.errors import UsageError
from swincli.model.files.attributes import Attributes
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.view.look import parse_look
from swincli.view.worker.downloads import png
from swincli.view.worker.studio import Studio


@pytest.fixture(scope="module")
def studio(tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """An untrained model with a number, a class, a flag and several values."""
    rows = torch.from_numpy(attribute_rows(24))
    rows[:, 0] = (rows[:, 0] - 10) / 20
    order = [1, 2, 0, 3]  # as the recipe sorts them
    columns = [1, 2, 0, 3, 4]
    attributes = Attributes(tuple(EACH[place] for place in order), rows[:, columns])
    path = tmp_path_factory.mktemp("labels") / "model.safetensors"
    save_shown_model(tiny_recipe(ATTRIBUTES, "model.adain_gamma=1.0"), path, attributes=attributes)
    return Studio(load_model(path, torch.device("cpu")))


def look_of(seed: int, *labels: str) -> str:
    return f"seed={seed}" + "".join(f"&label={quote(label, safe='')}" for label in labels)


def test_the_page_hears_of_every_attribute(studio: Studio) -> None:
    facts = {one["name"]: one for one in studio.facts()["attributes"]}
    assert facts["colour"]["values"] == ["red", "green", "blue"]
    assert (facts["size"]["kind"], facts["size"]["low"], facts["size"]["high"]) == ("number", 10.0, 30.0)
    assert (facts["dark"]["unknown"], facts["colour"]["unknown"]) == ("unknown", None)


@pytest.mark.parametrize(
    "labels",
    [[], ["colour=blue"], ["dark=unknown", "size=12.5", "tags=left+right"], ["dark=no", "tags=none"]],
    ids=["drawn", "class", "several", "none"],
)
def test_a_png_has_the_bytes_of_sample(studio: Studio, tmp_path: Path, labels: list[str]) -> None:
    name, content = png(studio, parse_look(look_of(4, *labels) + "&truncation=0.6"))
    options = [part for label in labels for part in ("--label", label)]
    arguments = ["--seeds", "4", "--truncation", "0.6", "--batch", "1", "--quiet", *options]
    assert sample(studio.model.path, tmp_path, *arguments) == 0
    assert content == (tmp_path / name).read_bytes()


def test_a_mixed_picture_has_the_bytes_of_sample(studio: Studio, tmp_path: Path) -> None:
    name, content = png(studio, parse_look(look_of(4, "colour=red") + "&mix=5@1:1"))
    assert sample(studio.model.path, tmp_path, "--mix", "4:5@2-3", "--label", "colour=red", "--batch", "1", "-q") == 0
    assert content == (tmp_path / name).read_bytes()


def test_labels_change_the_picture(studio: Studio) -> None:
    codes = [studio.w_plus(parse_look(look_of(1, f"colour={colour}"))) for colour in ("red", "green")]
    assert not torch.equal(*codes)


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (look_of(1, "colour=pink"), "colour=pink: there is no such value"),
        (look_of(1, "weight=3"), "no such attribute"),
        (look_of(1, "size=99"), "size=99: there is no such value"),
        (look_of(1, "colour=all"), "a picture has one class or value"),
        (look_of(1, "colour"), "not NAME=VALUE"),
        ("class=red", "has attributes, not classes"),
    ],
)
def test_what_cannot_be_is_a_sentence(studio: Studio, look: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        studio.picture(parse_look(look))
    assert said in caught.value.message
