"""The recipes that come with swincli: TOML files in `recipes/`, beside the package or inside an installed one."""

from __future__ import annotations

from pathlib import Path


def shipped_folder() -> Path:
    """Folder of the shipped recipes: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """Every shipped recipe by name; those in sub-folders are named `folder/name`."""
    folder = shipped_folder()
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.toml"))}


def find_recipe(name: str) -> Path | None:
    """The file that `name` means: a path to one, or a shipped recipe; None where it is neither."""
    path = Path(name)
    if path.is_file():
        return path
    return find_shipped(name)


def find_shipped(name: str) -> Path | None:
    """The shipped recipe of that name, which may be written `NAME`, `NAME.toml` or `recipes/NAME.toml`."""
    return shipped_recipes().get(name.removesuffix(".toml").removeprefix("recipes/"))


def header(path: Path) -> str:
    """The comment that opens a recipe file, without its marks."""
    lines = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)
