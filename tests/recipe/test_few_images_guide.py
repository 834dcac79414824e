"""The guide for few images: each row of its table is a recipe, and what it calls impossible is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from swincli.errors import RecipeError
from swincli.recipe import load_recipe
from swincli.recipe.idle import idle_settings

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "few-images.md").read_text(encoding="utf-8")
ALWAYS = ("augment.control=fixed", "augment.p=1")
ROWS = {  # the row, the recipe that it starts from, and what its cells add
    "up to some hundred": (
        "few-images",
        (
            ('augment.groups=["color", "translation"]',),
            ('augment.groups=["color", "translation"]', *ALWAYS, "loss.augself_d=1", "loss.augself_g=1"),
        ),
    ),
    "some hundred to 5,000": ("few-images", ((), ("augment.apa=true",), ("loss.lecam=3e-7",))),
    "5,000 to 20,000": ("few-images", (("augment.transforms=ada",), ("augment.transforms=ada", "augment.apa=true"))),
    "more than 20,000": (
        "ffhq256",
        ((), ("augment.transforms=ada", "augment.control=adaptive", "loss.bcr_real=0", "loss.bcr_fake=0")),
    ),
}
REFUSED = {  # words of the paragraph "Not together", what few-images is asked for, and the key of the error
    "bCR with transforms": (("loss.bcr_real=10",), "loss.bcr_real"),
    "AdaptiveMix with an adaptive probability": (("loss.adaptive_mix=1",), "loss.adaptive_mix"),
    "AugSelf with any p but a fixed one of 1": (("loss.augself_d=1",), "loss.augself_d"),
    'LeCam with `"relativistic"`': (("loss.lecam=1e-3", "loss.adversarial=relativistic"), "loss.lecam"),
}


def test_every_row_is_here() -> None:
    table = PAGE[PAGE.index("| images | first | then |") :].split("\n\n")[0].splitlines()[2:]
    assert [line.split("|")[1].strip() for line in table] == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_a_recipe(row: str) -> None:
    base, additions = ROWS[row]
    for overrides in additions:
        assert idle_settings(load_recipe(base, overrides)) == []


def test_what_does_not_go_together_is_refused() -> None:
    paragraph = re.sub(r"\s+", " ", PAGE[PAGE.index("**Not together**: ") :].split(". Such recipes")[0])
    assert paragraph.removeprefix("**Not together**: ").split(", ") == list(REFUSED)
    for overrides, key in REFUSED.values():
        with pytest.raises(RecipeError, match=rf"{re.escape(key)} \(--set\): "):
            load_recipe("few-images", overrides)
