"""What the documentation says of the code is true of the code."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from doc_pages import DOCS, PAGES, ROOT

import lightning_brats

PACKAGE = Path(lightning_brats.__file__).parent
QUOTED = re.compile(r"^### `(.*)`$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]*)(#[^)]*)?\)")
INTERNAL = {
    "assembly",
    "cli",
    "configs",
    "console",
    "continuing",
    "energy",
    "memory",
    "parallel",
    "parts",
    "preparation",
    "preparation_command",
    "ranks",
    "resolving",
    "results",
    "runs",
    "segmentation",
    "slurm",
    "splitting",
    "templates",
    "compatible",
    "tuning_run",
}
"""Modules that hold commands together; nobody calls them from Python."""


def templates() -> list[str]:
    """Every text in the code, with … where a value is filled in."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                found.append("".join(str(part) for part in parts))
    return found


def test_quoted_messages_are_in_the_code() -> None:
    known = templates()
    quoted = QUOTED.findall((DOCS / "troubleshooting.md").read_text())
    assert len(quoted) > 35
    lost = [q for q in quoted if not any(q.strip("… ") in text for text in known)]
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text()):
        assert not target or (page.parent / target).exists(), target


def configuration() -> dict:
    """mkdocs.yml."""
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def navigated(entry: object) -> list[str]:
    """Pages below a part of the navigation."""
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    return [page for child in children for page in navigated(child)]  # type: ignore[union-attr]


def test_every_page_is_in_the_navigation() -> None:
    listed = navigated(configuration()["nav"])
    there = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert sorted(listed) == sorted(there)


def test_the_reference_has_every_public_part() -> None:
    text = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    described = {name.split(".")[0] for name in re.findall(r"::: lightning_brats\.(\S+)", text)}
    parts = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    public = {part for part in parts if not part.startswith("_")} - INTERNAL
    assert public == described - INTERNAL
    for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE):
        place = ROOT / Path(*name.split("."))
        assert place.with_suffix(".py").exists() or (place / "__init__.py").exists(), name


def test_nothing_is_fetched_from_elsewhere() -> None:
    settings = configuration()
    assert settings["theme"]["font"] is False
    assert "offline" in settings["plugins"]


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    for name in ("material", "mkdocs", "mkdocstrings_handlers"):
        pytest.importorskip(name, reason="pip install -e '.[docs]'")
    typed = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "x")]
    # A notice of Material's that is about no page of ours.
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(typed, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    elsewhere = re.compile(r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]*)"')
    for page in (tmp_path / "x").rglob("*.html"):
        assert not elsewhere.findall(page.read_text()), page


def test_notes_for_the_tests_do_not_reach_the_renderer() -> None:
    sys.path.insert(0, str(DOCS))
    try:
        hooks = importlib.import_module("hooks")
    finally:
        sys.path.remove(str(DOCS))
    text = '```bash not_run="needs SLURM"\nsbatch x\n```\n'
    assert hooks.on_page_markdown(text, page=None) == "```bash\nsbatch x\n```\n"
