"""The documentation's pages as tests see them: fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r'(\w+)="([^"]*)"')
SCRIPT = re.compile(r"(?:experiments|sweeps)/\w+\.py")
OPERATORS = {"&&", "||", "|", ">", ";", "&"}


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        page: The file it is in.
        line: Of its first fence.
        language: `bash`, `python`, `yaml`, …
        options: Of its info string: `title`, a file that it is the content of; `not_run`, why its
            commands are not run by a test.
        text: What is inside.
    """

    page: Path
    line: int
    language: str
    options: dict[str, str]
    text: str

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def reason(self) -> str | None:
        """Why its commands are not run; `None` where they are."""
        return self.options.get("not_run")

    def commands(self) -> Iterator[list[str]]:
        """Words of each command of ours, from the script on, without what the shell does."""
        joined = self.text.replace("\\\n", " ")
        for line in joined.splitlines():
            if not SCRIPT.search(line):
                continue
            words = shlex.split(re.sub(r"\$\([^)]*\)", "X", line), comments=True)
            start = next((i for i, word in enumerate(words) if SCRIPT.fullmatch(word)), len(words))
            rest = words[start:]
            end = next((i for i, word in enumerate(rest) if word in OPERATORS), len(rest))
            if rest:
                yield rest[:end]


def blocks(page: Path) -> list[Block]:
    """Blocks of a page, in order."""
    text, found = page.read_text(encoding="utf-8"), []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        options = dict(OPTION.findall(match[2]))
        found.append(Block(page, line, match[1], options, match[3]))
    return found


def write_files(page: Path, folder: Path) -> None:
    """The files whose contents the page shows."""
    for block in blocks(page):
        if "title" in block.options:
            path = folder / block.options["title"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")


EVERY = [block for page in PAGES for block in blocks(page)]
