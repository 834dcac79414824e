"""Recipes that come with swincli: TOML files in `recipes/`, next to the package or inside an installed package."""

from __future__ import annotations

from pathlib import Path


def shipped_folder() -> Path:
    """Folder of the shipped recipes: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """All shipped recipes by name; in subfolders the name is `folder/name`."""
    folder = shipped_folder()
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.toml"))}


def find_recipe(name: str) -> Path | None:
    """The recipe file at path `name`, or the shipped recipe of that name; None if there is neither."""
    path = Path(name)
    if path.is_file() or path.is_fifo():
        return path
    return find_shipped(name)


def is_stream(path: Path) -> bool:
    """Whether a recipe is a pipe or another stream, such as `<(...)` or /dev/stdin: read once, and without a name."""
    return path.is_fifo() or path.parts[:2] in (("/", "dev"), ("/", "proc"))


def find_shipped(name: str) -> Path | None:
    """The shipped recipe `NAME`, also given as `NAME.toml` or `recipes/NAME.toml`; None if there is none."""
    return shipped_recipes().get(name.removesuffix(".toml").removeprefix("recipes/"))


def header_comment(path: Path) -> str:
    """The comment at the start of a recipe file, without its # signs."""
    lines = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)
