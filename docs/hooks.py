"""What MkDocs does to a page before it is rendered."""

from __future__ import annotations

import re
from typing import Any

NOT_RUN = re.compile(r'^(```bash) not_run="[^"]*"', re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Without the tests' notes in code fences, which the renderer would not take for code."""
    return NOT_RUN.sub(r"\1", markdown)
