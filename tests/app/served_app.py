"""What page tests share: two small trained runs, a real server, Debian's Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_uploads import MOST_BYTES, File

from lightning_brats.app.settings import UNFOLDED

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("streamlit")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MARKS = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
SLOWEST = 120_000
"""Milliseconds that anything may take on a busy machine."""
UPLOAD_MB = MOST_BYTES // (UNFOLDED * 1_000_000)
ROOT = Path(__file__).parents[2]
WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
TRAINING = (
    "model=unet",
    "model.size=tiny",
    "queue.patch_size=[16,16,16]",
    "queue.workers=0",
    "queue.patches_per_volume=8",
    "trainer.check_val_every_n_epoch=4",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "tracking=none",
)


def train(phantom: Path, folder: Path) -> Path:
    """A folder of two trained runs, one of them poor."""
    environment = {**os.environ, "LIGHTNING_BRATS_CACHE": str(folder / "cache")}
    for name, epochs in (("better", 8), ("poorer", 1)):
        subprocess.run(
            [
                sys.executable,
                ROOT / "experiments/run.py",
                f"data.root={phantom}",
                *TRAINING,
                f"name={name}",
                f"trainer.max_epochs={epochs}",
            ],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
            timeout=300,
        )
    return folder / "runs"


class Server:
    """A running app, and the folder its temporary files are in."""

    def __init__(self, runs: Path, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.log = folder, folder.parent / f"{folder.name}.log"
        cache = str(folder.parent / "cache")
        environment = {**os.environ, "TMPDIR": str(folder), "LIGHTNING_BRATS_CACHE": cache}
        command = [sys.executable, str(ROOT / "experiments/app.py"), f"runs={runs}"]
        self.process = subprocess.Popen(
            [*command, f"port={self.port}", "browser=false", f"upload_mb={UPLOAD_MB}"],
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            env=environment,
        )
        self.url = f"http://127.0.0.1:{self.port}"
        until(self.is_alive, 180)

    def is_alive(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*.nii*") if path.is_file()]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app over a test file's own `runs`."""
    made = Server(runs, tmp_path_factory.mktemp("server"))
    yield made
    if made.process.poll() is None:
        made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *WEBGL], headless=True
        )
        yield made
        made.close()


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Callable[..., Any]]:
    """Opens the page, as often as it is asked to."""
    contexts = []

    def opened(**settings: Any) -> Any:
        context = browser.new_context(viewport={"width": 1440, "height": 1100}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOWEST)
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(server.url)
        page.get_by_text("Research only").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()


def upload(page: Any, files: list[Path] | list[File]) -> None:
    payload = [
        {
            "name": file.name,
            "mimeType": "application/octet-stream",
            "buffer": file.content if isinstance(file, File) else file.read_bytes(),
        }
        for file in files
    ]
    page.locator("input[type=file]").set_input_files(payload)


def case_files(phantom: Path, number: int = 0) -> list[Path]:
    folder = sorted(path for path in phantom.iterdir() if path.is_dir())[number]
    return sorted(folder.glob("*.nii.gz"))


def segmented(page: Any, files: list[Path]) -> Any:
    """Upload, segment, and wait for the picture."""
    upload(page, files)
    page.get_by_role("button", name="Segment", exact=True).click()
    return ready(page)


def ready(page: Any) -> Any:
    frame = page.frame_locator("iframe[title*=niivue]")
    frame.locator("body[data-ready]").wait_for()
    page.wait_for_timeout(1500)
    return frame
