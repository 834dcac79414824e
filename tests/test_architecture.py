"""The picture in docs/architecture.md is that of the imports, and a wrong import breaks a contract."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PICTURE = re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)[0]


def imported_rooms() -> set[tuple[str, str]]:
    """Pairs of outer rooms of which the first imports the second."""
    graph = grimp.build_graph("swincli", cache_dir=None)
    pairs = {
        (importer.split(".")[1], imported.split(".")[1])
        for importer in graph.modules - {"swincli"}
        for imported in graph.find_modules_directly_imported_by(importer) - {"swincli"}
    }
    return {(above, below) for above, below in pairs if above != below}


def reachable(room: str, arrows: set[tuple[str, str]]) -> set[str]:
    """Every room at the end of a way of arrows."""
    found: set[str] = set()
    rest = [room]
    while rest:
        here = rest.pop()
        new = {below for above, below in arrows if above == here} - found
        found |= new
        rest += new
    return found


def test_the_picture_has_the_arrows_of_the_imports() -> None:
    imports = imported_rooms()
    needed = {arrow for arrow in imports if arrow[1] not in reachable(arrow[0], imports - {arrow})}
    names = dict(re.findall(r'^  (\w+)\["<b>(\w+)</b>', PICTURE, re.MULTILINE))
    drawn = {(names[above], names[below]) for above, below in re.findall(r"^  (\w+) --> (\w+)$", PICTURE, re.MULTILINE)}
    assert drawn == needed


def test_the_picture_names_every_room_and_its_inner_rooms() -> None:
    drawn = {
        name: set(re.split(" · ", text.rsplit("<br/>", 1)[-1])) if " · " in text else set()
        for name, text in re.findall(r'\["<b>(\w+)</b>(?:<br/>)?(.*?)"\]', PICTURE)
    }
    package = ROOT / "swincli"
    there = {path.stem: set() for path in package.glob("*.py") if path.stem != "__init__"} | {
        folder.name: {inner.name for inner in folder.iterdir() if (inner / "__init__.py").is_file()}
        for folder in package.iterdir()
        if (folder / "__init__.py").is_file()
    }
    assert drawn == there


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", PAGE)
    assert len(named) > 20
    assert [name for name in named if not any((root / name).exists() for root in (ROOT, ROOT / "swincli"))] == []


WRONG = {
    "ops/fir.py": ("from swincli.training.loop import train", "swincli.ops.fir -> swincli.training.loop"),
    "metrics/networks/resize.py": (
        "from swincli.metrics.registry import METRICS",
        "swincli.metrics.networks.resize -> swincli.metrics.registry",
    ),
    "recipe/schema.py": ("import torch", "swincli.recipe.schema -> torch"),
    "data/store/manifest.py": ("import swincli.data.store.reader", "No cycles are allowed in swincli.data.store"),
}
"""An import that is wrong in a file, and how the contracts say so: an outer room, an inner one, a library, a circle."""


def test_wrong_imports_fail_with_their_paths(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "swincli", tmp_path / "swincli", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file, (line, _) in WRONG.items():
        with (tmp_path / "swincli" / file).open("a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = " ".join(result.stdout.split())
    assert result.returncode == 1
    assert [words for _, words in WRONG.values() if words not in said] == []
