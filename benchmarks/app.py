"""The web app on a case of full size: from upload to picture, and how soon a view answers.

    python benchmarks/app.py               # trains the default network first: two minutes
    python benchmarks/app.py --runs runs   # with the best run that is there

A real server, headless Chromium and a phantom case of 240×240×155 with four modalities and a mask.
There is no peer to measure: both are set beside the bars that the app has to keep, 60 s and 200 ms
on two cores. The first case includes loading the network. WebGL is computed by the processor here;
a view ends when its pixels can be read.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from lightning_brats.data.phantom import write_phantom

ROOT = Path(__file__).resolve().parent.parent
CASE_BAR, VIEW_BAR = 60.0, 200.0
"""Seconds, and milliseconds."""
WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
PATIENCE = 600_000
VIEWS = """() => {
    const took = {};
    const drawn = () => {
        const gl = state.panels[0].nv.gl;
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    };
    drawn();
    const time = (name, act) => {
        took[name] = [];
        for (let turn = 0; turn < 9; turn++) {
            const start = performance.now();
            act(turn);
            drawn();
            took[name].push(performance.now() - start);
        }
    };
    const set = (id, value, kind) => {
        const input = document.getElementById(id);
        input.value = value;
        input.dispatchEvent(new Event(kind));
    };
    const modalities = document.querySelectorAll("#modalities button");
    time("level", (turn) => set("level", 300 + turn, "input"));
    time("opacity", (turn) => set("opacity", 90 - turn, "input"));
    time("contour", () => document.getElementById("contour").click());
    time("fill", () => document.getElementById("fill").click());
    time("modality", (turn) => modalities[turn % modalities.length].click());
    time("region", () => document.querySelector("#regions button").click());
    time("view", (turn) => set("view", String(turn % 3), "change"));
    return took;
}"""


def train(folder: Path) -> None:
    """The default network on volumes of 1 mm, so long that its masks are like a tumour."""
    command = [sys.executable, str(ROOT / "experiments" / "run.py"), f"runs={folder}"]
    settings = ["data.phantom.spacing=1", "data.phantom.cases=5", "trainer.max_epochs=10"]
    settings += ["trainer.check_val_every_n_epoch=10"]
    settings += ["queue.patches_per_volume=8", "tracking=none"]
    subprocess.run([*command, *settings], check=True)


@contextmanager
def serving(runs: Path) -> Iterator[str]:
    """A running app's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "experiments" / "app.py"), f"runs={runs}"]
    server = subprocess.Popen(
        [*command, f"port={port}", "browser=false"], stdout=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(f"{url}/_stcore/health"):
            if server.poll() is not None:
                raise SystemExit("the app did not start")
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def segmented(page: Page, url: str, files: Sequence[Path]) -> float:
    """Seconds from giving files and pressing the button to the drawn picture."""
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    page.get_by_text("Research only").wait_for()
    began = time.perf_counter()
    page.locator("input[type=file]").set_input_files([str(path) for path in files])
    page.get_by_role("button", name="Segment", exact=True).click()
    page.frame_locator("iframe[title*=niivue]").locator("body[data-ready]").wait_for()
    return time.perf_counter() - began


def measure(runs: Path, files: Sequence[Path], repeats: int) -> tuple[list[float], dict[str, Any]]:
    """Seconds of each case, and milliseconds of each view."""
    with serving(runs) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", *WEBGL]
        )
        seconds, views = [], {}
        for _ in range(repeats):
            page = browser.new_page(viewport={"width": 1440, "height": 1100})
            seconds.append(segmented(page, url, files))
            views = next(frame for frame in page.frames if "niivue" in frame.url).evaluate(VIEWS)
            page.close()
        browser.close()
    return seconds, views


def main() -> None:
    """Measure, print, and end with a JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="folder of trained runs")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.runs is None:
            train(folder / "runs")
        phantom = write_phantom(folder / "case", layout="brats2021", cases=1, spacing=1.0)
        files = sorted(phantom.glob("*/*.nii.gz"))
        seconds, views = measure(args.runs or folder / "runs", files, args.repeats)
    medians = {name: statistics.median(each) for name, each in views.items()}
    print("from upload to picture:", ", ".join(f"{each:.1f} s" for each in seconds))
    print("a view:", ", ".join(f"{name} {each:.0f} ms" for name, each in medians.items()))
    slowest = max(medians.values())
    for title, ours, bar, unit in (
        ("app: upload to picture, 240×240×155, median", statistics.median(seconds), CASE_BAR, "s"),
        ("app: the slowest kind of view, median", slowest, VIEW_BAR, "ms"),
    ):
        line = {"benchmark": title, "ours": round(ours, 1), "peer": bar}
        print(json.dumps({**line, "ratio": round(bar / ours, 2), "unit": unit}, ensure_ascii=False))


if __name__ == "__main__":
    main()
