"""What training `model=seg_gan` holds in memory, beside 4 GB at 64³ and 16 GB at 128³.

    python benchmarks/gan_memory.py                              # both edges, small and base
    python benchmarks/gan_memory.py --edges 64 --sizes small     # a minute on one core

Each row is a process of its own that prepares the phantom and takes a few steps of a run: two
patches a step, bf16, the generator a U-Net of that size, queue, logging and checkpoint included. At
128³ a patch reaches beyond the head of the 2 mm phantom, which costs the same. On a CPU its peak is
all that the process held at most (Linux's VmHWM), libraries and preparation included; on a GPU what
torch had allocated there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

LIMITS_GB = {64: 4.0, 128: 16.0}
BATCH, STEPS, CASES = 2, 2, 6


def measure(size: str, edge: int, options: argparse.Namespace) -> dict[str, Any]:
    """One row, in a process that nothing else has used."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--folder", folder, "--sizes", size]
        command += ["--edges", str(edge), "--threads", str(options.threads)]
        command += ["--recompute"] * options.recompute
        cache = os.environ | {"LIGHTNING_BRATS_CACHE": folder}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=cache)
    return json.loads(done.stdout.splitlines()[-1])


def train(size: str, edge: int, folder: Path, threads: int, recompute: bool) -> dict[str, Any]:
    """Take the steps here, and read what this process held."""
    from lightning_brats import experiment

    built = experiment.build(
        experiment.configure(
            "model=seg_gan",
            f"model.generator.size={size}",
            f"queue.patch_size=[{edge},{edge},{edge}]",
            f"queue.batch_size={BATCH}",
            f"queue.patches_per_volume={BATCH * STEPS}",
            f"data.phantom.cases={CASES}",
            f"runs={folder}/runs",
            f"trainer.max_steps={STEPS}",
            f"trainer.threads={threads}",
            f"trainer.recompute={str(recompute).lower()}",
            "trainer.precision=bf16-mixed",
            "+trainer.limit_val_batches=0",
            "tracking=none",
        )
    )
    experiment.fit(built)
    table = pd.read_csv(built.folder / "metrics.csv")
    losses = table[[name for name in table if name.startswith("train/loss")]]
    cuda = built.task.device.type == "cuda" or torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if cuda else _most_held()
    return {
        "size": size,
        "edge": edge,
        "gb": round(peak / 1e9, 2),
        "limit_gb": LIMITS_GB[edge],
        "seconds_a_step": round(float(table["seconds"].sum()) / STEPS, 1),
        "finite": bool(np.isfinite(losses).all(axis=None)) and len(losses.columns) == 3,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
    }


def _most_held() -> int:
    """Bytes that this process has held at most."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    """Print a table and a JSON line; end with 1 where a row is over its limit or not finite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, nargs="+", default=[64, 128], choices=LIMITS_GB)
    parser.add_argument("--sizes", nargs="+", default=["small", "base"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--recompute", action="store_true", help="trainer.recompute=true")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        (size,), (edge,) = options.sizes, options.edges
        row = train(size, edge, options.folder, options.threads, options.recompute)
        print(json.dumps(row))
        return
    rows = [measure(size, edge, options) for edge in options.edges for size in options.sizes]
    print("| generator | patch | GB | limit | s a step |\n|---|---|---|---|---|")
    for row in rows:
        cells = (row["size"], f"{row['edge']}³", row["gb"], row["limit_gb"], row["seconds_a_step"])
        print(f"| {' | '.join(map(str, cells))} |")
    tightest = max(rows, key=lambda row: row["gb"] / row["limit_gb"])
    finite = all(row["finite"] for row in rows)
    record = {
        "benchmark": "gan_memory",
        "ours": tightest["gb"],
        "peer": tightest["limit_gb"],
        "ratio": round(tightest["limit_gb"] / tightest["gb"], 2),
        "unit": f"GB at {tightest['edge']}³ ({tightest['size']}), beside the limit",
        "finite": finite,
        "rows": rows,
    }
    print(json.dumps(record))
    sys.exit(not (finite and all(row["gb"] <= row["limit_gb"] for row in rows)))


if __name__ == "__main__":
    main()
