"""The commands of the README and of all pages: every option exists and fits, and pages about images run in order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from sampled_models import save_shown_model

from swincli.commands import evaluate, interpolate, prepare_data, project, sample
from swincli.commands.app import app, run
from swincli.commands.evaluate import run as evaluate_run  # noqa: F401
from swincli.commands.interpolate import run as interpolate_run  # noqa: F401
from swincli.commands.options import recipe_overrides
from swincli.commands.prepare_data import run as prepare_data_run  # noqa: F401
from swincli.commands.project import run as project_run  # noqa: F401
from swincli.commands.sample import run as sample_run  # noqa: F401
from swincli.commands.typer_command import Result
from swincli.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CHECKED = {"sample": sample, "interpolate": interpolate, "project": project, "evaluate": evaluate}
Capture = pytest.CaptureFixture[str]


def commands_of(page: Path) -> Iterator[list[str]]:
    """The arguments of each `swincli` in the page's shell blocks, also under torchrun and in loops."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        values = dict(re.findall(r"\bfor (\w+) in ([^\s;]+)", block))
        for name, value in values.items():
            block = re.sub(rf"\$\{{?{name}\b\}}?", value, block)
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for part in line.strip().removeprefix("$ ").split("&&"):
                words = split(part)
                if "swincli" in words and words[0] in ("swincli", "torchrun", "srun"):
                    words = words[words.index("swincli") + 1 :]
                    yield [word for word in takewhile(lambda word: word != "|", words) if word != "..."]


def split(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # a line of output
        return []


ALL = [(page, arguments) for page in PAGES for arguments in commands_of(page)]


@pytest.fixture(scope="module")
def root_command() -> object:
    return typer.main.get_command(app)


def test_commands_are_found() -> None:
    assert len(ALL) > 60
    assert {arguments[0] for _, arguments in ALL} >= {
        "prepare-data",
        "train",
        "sample",
        "evaluate",
        "convert",
        "doctor",
    }


@pytest.mark.parametrize(
    "arguments", [words for _, words in ALL], ids=[f"{page.stem}: {' '.join(words)[:60]}" for page, words in ALL]
)
def test_every_option_exists_and_fits(
    arguments: list[str], root_command: object, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Commands whose work is one function are checked as far as its call; the others are parsed."""
    name = arguments[0]
    for module in (*CHECKED.values(), prepare_data):
        monkeypatch.setattr(module.run, "run", lambda *_, **__: Result({}, []))
    monkeypatch.setattr(evaluate.run, "compare", lambda *_: Result({}, []))
    if name in CHECKED or name == "prepare-data":
        on_cpu = [] if name == "prepare-data" or "--compare" in arguments else ["--device", "cpu"]
        assert run([*arguments, *on_cpu]) == 0, capsys.readouterr().err
        return
    command = root_command
    while hasattr(command, "commands"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context(name, list(arguments))  # type: ignore[attr-defined]  # raises for what it does not know


TRAININGS = [(page, words[1:]) for page, words in ALL if words[0] == "train"]


@pytest.mark.parametrize(
    "arguments",
    [words for _, words in TRAININGS],
    ids=[f"{page.stem}: {' '.join(words)[:60]}" for page, words in TRAININGS],
)
def test_shipped_recipes_can_be_trained_with_these_changes(arguments: list[str], root_command: Any) -> None:
    asked = root_command.commands["train"].make_context("train", list(arguments)).params
    named = [name for name in asked["recipes"] if (ROOT / "recipes" / Path(name).with_suffix(".toml").name).exists()]
    for name in named:
        load_recipe(Path(name).stem, recipe_overrides(list(asked["overrides"] or []), asked["data"], asked["seed"]))


EXTENSIONS = [
    (page, block)
    for page in PAGES
    for block in re.findall(r"^```toml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    if block.startswith("extends")
]


@pytest.mark.parametrize(
    "block", [block for _, block in EXTENSIONS], ids=[f"{page.stem} {at}" for at, (page, _) in enumerate(EXTENSIONS)]
)
def test_the_recipes_of_the_pages_are_valid(block: str, tmp_path: Path) -> None:
    """A recipe that extends one of the reader's own extends a small one here."""
    for others in re.findall(r'^extends = "(.+\.toml)"', block, re.MULTILINE):
        (tmp_path / others).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / others).write_text('extends = "quickstart-faces"\n', encoding="utf-8")
    (tmp_path / "own.toml").write_text(block, encoding="utf-8")
    assert load_recipe(str(tmp_path / "own.toml")).train.total > 0


SHORTER = {
    "0-31": "0-3",
    "8x4": "2x2",
    "0-15": "0-3",
    "4x2": "2x1",
    "5,8,12:2,11,17,29@middle": "5,8:2,11@middle",
    "pca:0-4@coarse": "pca:0@coarse",
    "pca:0-3": "pca:0",
    "sefa:0-3": "sefa:0",
}
"""The same with fewer images."""
QUICK = {
    "project": ["--steps", "1", "--loss", "none"],
    "interpolate": ["--frames", "2"],
    "sample": [],
}


@pytest.mark.parametrize(
    "page", ["sample", *(pytest.param(page, marks=pytest.mark.slow) for page in ("project", "interpolate"))]
)
def test_the_commands_of_a_page_run_one_after_another(
    page: str, tiny_recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/first").mkdir(parents=True)
    recipe = load_recipe(str(tiny_recipe_file), ["model.adain_gamma=1.0"])
    save_shown_model(recipe, tmp_path / "runs/first/model-000000000010.safetensors")
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for name in ("me.jpg", "portrait.jpg", "a.jpg", "b.jpg", "photos/c.jpg"):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / name)
    if page == "interpolate":  # its codes come from the other page
        assert run(["project", "a.jpg", "b.jpg", *QUICK["project"], "--device", "cpu"]) == 0
    for arguments in commands_of(ROOT / f"docs/guides/{page}.md"):
        if arguments[0] not in QUICK or "perceptual" in arguments or "50k" in arguments:
            continue
        if page == "sample" and arguments[0] == "project":
            arguments = ["sample", "--seeds", "3", "--save-latents", "me/me.npz", "--out", "me"]  # takes less time
        words = [SHORTER.get(word, word) for word in arguments]
        words += ["--tune-steps", "1"] if "--tune" in words else []
        assert run([*words, *QUICK[arguments[0]], "--device", "cpu"]) == 0, (arguments, capsys.readouterr().err)
