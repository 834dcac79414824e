"""`swincli doctor RECIPE --augment FILE.png`: the page of what D sees, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from swincli.commands.app import run
from swincli.data.loader_order import training_indices
from swincli.data.store.reader import Store
from swincli.diagnosis import augment_page
from swincli.diagnosis.augment_page import draw_augment_page
from swincli.recipe import load_recipe
from swincli.synthesis.figures.labelled_grid import GridLabels, draw_labelled_grid

Capture = pytest.CaptureFixture[str]
ADA = ("--set", "augment.transforms=ada")


def doctor(*arguments: object) -> int:
    return run(["doctor", *map(str, arguments), "--device", "cpu"])


def test_the_page_is_written_and_replaced_but_nothing_else_is(
    shared_recipe: Path, tmp_path: Path, capsys: Capture
) -> None:
    page, other = tmp_path / "page.png", tmp_path / "other.png"
    assert doctor(shared_recipe, "--augment", page, *ADA, "--set", "augment.p=0.5") == 0
    assert capsys.readouterr().out == f"{page}\n"
    first = page.read_bytes()
    assert doctor(shared_recipe, "--augment", page, *ADA, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"augment": {"picture": str(page), "p": [0.0, 0.3, 0.8, 1.0], "images": 8}}
    assert page.read_bytes() != first
    with Image.open(page) as image:
        assert image.width > 8 * 128
    other.write_bytes(b"mine")
    assert doctor(shared_recipe, "--augment", other, *ADA) == 1
    assert "not made by this command" in capsys.readouterr().err
    assert other.read_bytes() == b"mine"
    assert doctor(shared_recipe, "--augment", other, *ADA, "--force") == 0


def test_the_first_row_is_the_images_themselves_and_the_page_is_seeded(shared_recipe: Path, store: Store) -> None:
    recipe = load_recipe(str(shared_recipe), ["augment.transforms=diffaugment", "augment.p=0.3"])
    page = draw_augment_page(recipe, store)
    assert torch.equal(page.picture, draw_augment_page(recipe, store).picture)
    assert page.probabilities == (0.0, 0.3, 0.8)
    indices = training_indices(len(store), recipe.train.seed, 0, 8)
    first = torch.from_numpy(store.fetch(indices))[0].repeat_interleave(8, dim=0).repeat_interleave(8, dim=1)
    windows = page.picture.unfold(0, 128, 1).unfold(1, 128, 1)[:200, :300]  # where the first tile lies
    corner = (windows[..., 0, 0] == first[0, 0]).all(dim=-1) & (windows[..., -1, -1] == first[-1, -1]).all(dim=-1)
    assert any(
        torch.equal(page.picture[row : row + 128, column : column + 128], first) for row, column in corner.nonzero()
    )


def test_a_blur_has_a_row_of_its_own(shared_recipe: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[list[torch.Tensor], list[str]]] = []

    def keep(pictures: list[torch.Tensor], columns: int, labels: GridLabels) -> torch.Tensor:
        drawn.append((pictures, list(labels.rows)))
        return draw_labelled_grid(pictures, columns, labels)

    monkeypatch.setattr(augment_page, "draw_labelled_grid", keep)
    keys = ["augment.transforms=diffaugment", "augment.control=adaptive"]
    for more in ([], ["augment.blur=1.5", "augment.blur_until=20"]):
        draw_augment_page(load_recipe(str(shared_recipe), [*keys, *more]), store)
    (plain, rows), (pictures, names) = drawn
    assert names == [*rows, "first step: blur of 1.5 px, p = 0"]
    assert torch.equal(torch.stack(pictures[: len(plain)]), torch.stack(plain))
    sharp, blurred = (torch.stack(part).float() for part in (plain[:8], pictures[-8:]))
    assert blurred.diff(dim=1).abs().mean() < 0.5 * sharp.diff(dim=1).abs().mean()


def test_the_title_has_the_factors_of_the_probability(
    shared_recipe: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []

    def keep(pictures: list[torch.Tensor], _: int, labels: GridLabels) -> torch.Tensor:
        titles.append(labels.title)
        return pictures[0]

    monkeypatch.setattr(augment_page, "draw_labelled_grid", keep)
    for more in ([], ["augment.multipliers={hue=0, color=0.5}"]):
        draw_augment_page(load_recipe(str(shared_recipe), ["augment.transforms=ada", *more]), store)
    plain, told = titles
    assert told == f"{plain}, p times: hue 0, color 0.5"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--augment", "page.png"], 2, "need a recipe"),
        (["quickstart", "--augment", "page.png"], 2, "--augment: the recipe has no augment.transforms"),
        (["quickstart", "--augment", "page.jpg", *ADA], 2, "must be a .png file"),
        (["quickstart", "--augment", "page.png", "--steps", "2", *ADA], 2, "--steps: nothing is measured"),
        (["quickstart", "--force"], 2, "--force: needs --augment"),
        (["quickstart", "--augment", "page.png", "--data", "nowhere", *ADA], 1, "nowhere does not exist"),
        (["quickstart", "--augment", "page.png", "--set", "data.path=null", *ADA], 2, "names no data set"),
    ],
)
def test_what_is_refused(
    arguments: list[str], code: int, message: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor(*arguments) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_size_are_refused(shared_recipe: Path, tmp_path: Path, capsys: Capture) -> None:
    page = tmp_path / "page.png"
    assert doctor(shared_recipe, "--augment", page, *ADA, "--set", "model.size=32") == 1
    assert "its images are 16 px, but model.size is 32" in capsys.readouterr().err
    assert not page.exists()
