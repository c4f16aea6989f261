"""A hundred thousand cases and 64 ranks: what a run has to do before its first patch.

    python benchmarks/scale.py                # 100,000 cases: minutes, most of them of laying out
    python benchmarks/scale.py --cases 2000   # seconds

The data set is a BraTS 2023 folder whose files are links to those of one small case, and so are the
prepared entries. Measured is, each in a fresh process:

* `index`: the folder is read for the first time, and a split drawn;
* `first`: what is in the cache is found, every file looked at, and the catalogue saved, as at the
  end of preparing;
* `start`: what every rank of a later run does: open the catalogue, check it, draw the split and
  plan one rank's epoch.

Seconds are those of the processor, memory is what the process grew by at most since its imports.
Every case must be seen once an epoch by the ranks together. The bar is 5 s and 500 MB for `index`
and for `start`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil

from lightning_brats.data.cache import Cache
from lightning_brats.data.catalogue import Catalogue, Description, file_name
from lightning_brats.data.index import index_dataset
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sampling import PatchPlan
from lightning_brats.data.splits import make_split

SHAPE = (16, 18, 14)
PARTS = ("t1n", "t1c", "t2w", "t2f", "seg")
LINKS = 30_000
"""Links to one file; file systems allow 65,000."""
BAR_SECONDS, BAR_MB = 5.0, 500.0
KEY = "scale"


def lay_out(folder: Path, cases: int) -> None:
    """`data` with a folder a case, and `cache` with an entry a case."""
    rng = np.random.default_rng(0)
    few = folder / "few"
    few.mkdir()
    brain = np.pad(np.ones([n - 4 for n in SHAPE]), 2)
    for part in PARTS:
        values = brain * (2 * (brain > 0) if part == "seg" else rng.uniform(1, 9, SHAPE))
        kind = np.uint8 if part == "seg" else np.float32
        if part == "seg":
            values[: SHAPE[0] // 2] = 0
        nib.save(nib.Nifti1Image(values.astype(kind), np.eye(4)), few / f"{part}.nii.gz")
    source = {}
    for number in range(cases):
        name = f"BraTS-GLI-{number // 2:05d}-{number % 2:03d}"
        (folder / "data" / name).mkdir(parents=True)
        if number % LINKS == 0:
            source = {part: _copy(few / f"{part}.nii.gz", number) for part in PARTS}
        for part, path in source.items():
            os.link(path, folder / "data" / name / f"{name}-{part}.nii.gz")
    cache = Cache(folder / "cache", Preprocess())
    found = index_dataset(folder / "data", "brats2023")
    entry = cache.get(found[0]).folder
    files = {}
    for number, case in enumerate(found[1:], 1):
        own = folder / "cache" / f"{case.case}-{cache.key(case)}"
        own.mkdir()
        if number % LINKS == 1:
            files = {path.name: _copy(path, number, few) for path in entry.iterdir()}
        for name, path in files.items():
            os.link(path, own / name)


def _copy(path: Path, number: int, folder: Path | None = None) -> Path:
    target = (folder or path.parent) / f"{number}_{path.name}"
    shutil.copy2(path, target)
    return target


def index(folder: Path) -> dict[str, float]:
    """The folder read for the first time."""
    cases = index_dataset(folder / "data", "brats2023")
    split = make_split(cases)
    return {"cases": len(cases), "train": len(split.train)}


def first(folder: Path) -> dict[str, float]:
    """Every prepared case found, and the catalogue saved."""
    cases = index_dataset(folder / "data", "brats2023")
    cache = Cache(folder / "cache", Preprocess())
    catalogue = cache.prepare(cases, about=Description("scale", (folder / "data",)))
    saved = catalogue.save(file_name(folder / "cache", KEY))
    assert saved.path is not None
    return {"cases": len(saved), "catalogue_mb": saved.path.stat().st_size / 1e6}


def start(folder: Path, ranks: int) -> dict[str, float]:
    """What a rank does before its first patch."""
    catalogue = Catalogue.open(file_name(folder / "cache", KEY), folder / "cache")
    assert catalogue is not None
    problem = catalogue.stale()
    assert problem is None, problem
    split = make_split(catalogue.outline(), sizes=catalogue.volumes())
    train = catalogue.select(split.train)
    plan = PatchPlan(len(train), 1, 1 / 3, 2, rank=ranks // 2, world=ranks)
    requests = list(plan.epoch(0))
    assert train.entries[requests[0].subject].meta["labelled"]
    return {"cases": len(catalogue), "train": len(train), "patches_a_rank": len(requests)}


def visits(train: int, ranks: int) -> Counter:
    """How often each case is seen in an epoch, by all ranks, less what fills the last step."""
    seen: Counter = Counter()
    for rank in range(ranks):
        plan = PatchPlan(train, 1, 1 / 3, 2, rank=rank, world=ranks)
        places = (position * ranks + rank for position in range(len(plan)))
        requests = zip(places, plan.epoch(0), strict=True)
        seen.update(request.subject for place, request in requests if place < train)
    return seen


def measured(what: str, folder: Path, ranks: int) -> dict[str, float]:
    """Run one part and measure it."""
    before = psutil.Process().memory_info().rss
    wall, used = time.perf_counter(), time.process_time()
    found = (
        start(folder, ranks) if what == "start" else {"index": index, "first": first}[what](folder)
    )
    return {
        "seconds": round(time.process_time() - used, 2),
        "wall_seconds": round(time.perf_counter() - wall, 2),
        "mb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 1e6, 1),
        **found,
    }


def main() -> None:
    """Lay out, measure each part in its own process, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--part", choices=("index", "first", "start"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="keep the files there, or use those that are")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measured(options.part, options.folder, options.ranks)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "data").exists():
            folder.mkdir(parents=True, exist_ok=True)
            lay_out(folder, options.cases)
        results = {}
        for part in ("index", "first", "start"):
            command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
            done = subprocess.run(
                [*command, "--ranks", str(options.ranks)],
                check=True,
                capture_output=True,
                text=True,
            )
            results[part] = json.loads(done.stdout.splitlines()[-1])
    print("| part | processor s | wall s | MB |\n|---|---|---|---|")
    for part, found in results.items():
        print(f"| {part} | {found['seconds']} | {found['wall_seconds']} | {found['mb']} |")
    seen = visits(int(results["start"]["train"]), options.ranks)
    once = len(seen) == results["start"]["train"] and set(seen.values()) == {1}
    met = all(
        results[part]["seconds"] < BAR_SECONDS and results[part]["mb"] < BAR_MB
        for part in ("index", "start")
    )
    print(f"every case once an epoch over {options.ranks} ranks: {once}")
    seconds = max(results[part]["seconds"] for part in ("index", "start"))
    record = {
        "benchmark": "scale",
        "ours": seconds,
        "peer": BAR_SECONDS,
        "ratio": round(BAR_SECONDS / seconds, 2),
        "unit": "s, beside the bar",
        **results,
        "once_an_epoch": once,
    }
    print(json.dumps(record))
    sys.exit(not (met and once))


if __name__ == "__main__":
    main()
