"""Command lines and links of the README."""

from __future__ import annotations

import re
from pathlib import Path

from swincli.commands.app import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_readmes_test_line_and_nothing_else() -> None:
    (line,) = [line for line in README.splitlines() if line.startswith("python3 -m venv .venv-test")]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[-1] == line
    assert script[2:-1] == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "rm -rf .venv-test"]


def test_every_command_is_in_the_readme() -> None:
    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert names == set(re.findall(r"^\| `swincli ([a-z-]+)` \|", README, re.MULTILINE))


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not target.startswith(("http://", "https://")) and not (page.parent / target).exists()
    ]
    assert broken == []
