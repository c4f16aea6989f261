"""Preparing cases beside nnU-Net's preprocessing: the same phantom patients, as many processes.

    python benchmarks/prepare.py            # 8 patients at 1 mm (240×240×155): some minutes
    python benchmarks/prepare.py --quick    # half the resolution: an eighth of the voxels

Both read the same `.nii.gz` files, check and crop them, normalise inside the brain, and write an
image, a mask and the places of the foreground; both use processes of one thread. Ours also measures
what the audit shows (volumes, histograms, a fingerprint). nnU-Net's fingerprint extraction and
planning, which read every case once more before, are not counted. Bar: a quarter of its time.

nnU-Net resamples only where spacings differ; the patients' are all the same, so neither does.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

DATASET = "Dataset001_Phantom"
BAR = 4.0


def nnunet_folders(folder: Path) -> None:
    """nnU-Net takes its folders from the environment when it is imported."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ[name] = str(folder / name)
        (folder / name).mkdir()


def nnunet_raw(root: Path, folder: Path) -> None:
    """The same files under nnU-Net's names."""
    from lightning_brats.data.sources import load_cases

    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    cases = load_cases(root).cases
    for case in cases:
        assert case.mask is not None
        shutil.copy(case.mask, folder / "labelsTr" / f"{case.case}.nii.gz")
        for number, ref in enumerate(case.images.values()):
            shutil.copy(ref.path, folder / "imagesTr" / f"{case.case}_{number:04d}.nii.gz")
    description = {
        "channel_names": {str(i): name for i, name in enumerate(cases[0].images)},
        "labels": {"background": 0, "NCR": 1, "ED": 2, "ET": 3},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def ours(root: Path, cache: Path, processes: int) -> float:
    """Seconds."""
    from lightning_brats.data.cache import Cache
    from lightning_brats.data.preprocess import Preprocess
    from lightning_brats.data.sources import load_cases

    logging.disable(logging.INFO)
    cases = load_cases(root).cases
    start = time.perf_counter()
    Cache(cache, Preprocess()).prepare(cases, processes)
    return time.perf_counter() - start


def nnunet(processes: int) -> float:
    """Seconds of the preprocessing alone."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    api.extract_fingerprints([1], num_processes=processes, verbose=False, show_progress_bar=False)
    api.plan_experiments([1])
    start = time.perf_counter()
    api.preprocess([1], configurations=("3d_fullres",), num_processes=(processes,))
    return time.perf_counter() - start


def main() -> None:
    """Prepare by both, in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of the voxels")
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        nnunet_folders(folder)
        from lightning_brats.data.phantom import write_phantom

        spacing = 2.0 if options.quick else 1.0
        root = folder / "phantom"
        write_phantom(root, layout="brats2023-gli", cases=options.cases, spacing=spacing)
        nnunet_raw(root, folder / "nnUNet_raw" / DATASET)
        ours(root, folder / "warm-up", options.processes)  # both find the files in the page cache
        seconds = {
            "ours": ours(root, folder / "cache", options.processes) / options.cases,
            "nnU-Net": nnunet(options.processes) / options.cases,
        }
    ratio = seconds["nnU-Net"] / seconds["ours"]
    print(f"{options.cases} cases, {options.processes} processes\n")
    print("| preprocessing | s a case |\n|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.2f} |")
    result = {"ours": seconds["ours"], "peer": seconds["nnU-Net"], "ratio": ratio}
    rounded = {key: round(value, 3) for key, value in result.items()}
    record = {"benchmark": "prepare", **rounded, "unit": "s/case", "bar": BAR}
    print(json.dumps(record))
    sys.exit(ratio < BAR)


if __name__ == "__main__":
    main()
