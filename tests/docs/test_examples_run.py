"""The documentation's commands, page by page, as a reader would type them; made small."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT, blocks, write_files

SMALL = Path(__file__).with_name("small_python.py")


def commands(page: Path) -> str:
    """Everything on the page that is to be typed, as one script."""
    typed = [b.text for b in blocks(page) if b.language == "bash" and not b.reason]
    return "".join(f"{text}\n" for text in typed)


TYPED = [page for page in sorted(DOCS.rglob("*.md")) if commands(page)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the phantom and prepared cases: pages share them as a reader's commands would."""
    return tmp_path_factory.mktemp("shared-cache")


@pytest.mark.slow
@pytest.mark.timeout(3600)  # alone on two cores a page takes some minutes
@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path, cache: Path) -> None:
    write_files(page, tmp_path)
    for name in ("experiments", "sweeps"):
        (tmp_path / name).symlink_to(ROOT / name)
    shim = tmp_path / ".bin" / "python"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SMALL}" "$@"\n')
    shim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{shim.parent}:{os.environ['PATH']}",
        "LIGHTNING_BRATS_CACHE": str(cache),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands(page)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert "Traceback" not in done.stderr
