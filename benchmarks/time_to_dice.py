"""Dice on test cases after so many minutes of training: ours beside nnU-Net, from the same files.

    python benchmarks/time_to_dice.py                  # 5, 10, 20 minutes of each: over an hour
    python benchmarks/time_to_dice.py --minutes 1      # to see that it runs

24 phantom cases at 2 mm, the split of `make run`. Both train a U-Net of 16-32-64-128 channels with
deep supervision on two patches of 48³ a step, with nnU-Net's augmentation, in turn and with nothing
beside them. nnU-Net is its own: loader, trainer, loss, optimiser, precision; its epochs are
shortened to 20 so that its learning rate reaches zero at the end, as ours does. Ours uses the
suite's defaults but for network, patch and augmentation. The clock runs from the start of the
process to the end of training, reading the first batches and validation included; cases are
preprocessed before, and prediction of the test cases (each by its own tool, without flips) comes
after. `evaluate.py`'s scorer scores both. Steps are chosen by a short trial so that the time is
met; what was really taken is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from prepare import DATASET, nnunet_folders, nnunet_raw

HERE = Path(__file__).resolve().parent
WIDTHS, PATCH, BATCH, EPOCHS, THREADS = (16, 32, 64, 128), 48, 2, 20, 2
REGIONS = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
TRIAL_STEPS = 8
RESERVE = 5.0
"""Seconds kept for what comes at the end of training."""


def nnunet_planned(folder: Path, root: Path, split: dict[str, list[str]]) -> None:
    """Raw data, fingerprint, plans of our network's size, preprocessed cases and our split."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    raw = folder / "nnUNet_raw" / DATASET
    nnunet_raw(root, raw)
    for case in split["test"]:
        (raw / "labelsTr" / f"{case}.nii.gz").unlink()
        for path in (raw / "imagesTr").glob(f"{case}_*.nii.gz"):
            (raw / "imagesTs").mkdir(exist_ok=True)
            path.rename(raw / "imagesTs" / path.name)
    description = json.loads((raw / "dataset.json").read_text())
    description["labels"] = {"background": 0, **REGIONS}
    description["regions_class_order"] = [2, 1, 3]
    description["numTraining"] = len(split["train"]) + len(split["validation"])
    (raw / "dataset.json").write_text(json.dumps(description))
    api.extract_fingerprints([1], num_processes=THREADS, show_progress_bar=False)
    api.plan_experiments([1])
    plans_file = folder / "nnUNet_preprocessed" / DATASET / "nnUNetPlans.json"
    plans = json.loads(plans_file.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    configuration |= {"patch_size": [PATCH] * 3, "batch_size": BATCH}
    levels = len(WIDTHS)
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": levels,
        "features_per_stage": list(WIDTHS),
        "kernel_sizes": [[3] * 3] * levels,
        "strides": [[1] * 3] + [[2] * 3] * (levels - 1),
        "n_conv_per_stage": [2] * levels,
        "n_conv_per_stage_decoder": [2] * (levels - 1),
    }
    plans_file.write_text(json.dumps(plans))
    api.preprocess([1], configurations=("3d_fullres",), num_processes=(THREADS,))
    own = [{"train": split["train"], "val": split["validation"]}]
    (plans_file.parent / "splits_final.json").write_text(json.dumps(own))


def split_of(run: Path) -> dict[str, list[str]]:
    """Cases of each part."""
    stored = json.loads((run / "split.json").read_text())
    parts = ("train", "validation", "test")
    return {part: [case for own in stored[part].values() for case in own] for part in parts}


def nnunet_train(folder: Path, minutes: float) -> None:
    """Train for so long in this process, then segment the test cases."""
    started = time.perf_counter()
    os.environ["nnUNet_n_proc_DA"] = str(THREADS)  # noqa: SIM112
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(THREADS)
    preprocessed = folder / "nnUNet_preprocessed" / DATASET
    plans = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    description = json.loads((preprocessed / "dataset.json").read_text())
    trainer = nnUNetTrainer(plans, "3d_fullres", 0, description, torch.device("cpu"))
    trainer.num_epochs, trainer.num_val_iterations_per_epoch = EPOCHS, 1
    trainer.on_train_start()
    trainer.on_train_start = lambda: None  # once is enough
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    for _ in range(3):
        trainer.train_step(next(trainer.dataloader_train))
    trial = time.perf_counter()
    for _ in range(TRIAL_STEPS):
        trainer.train_step(next(trainer.dataloader_train))
    step = (time.perf_counter() - trial) / TRIAL_STEPS
    left = 60 * minutes - (time.perf_counter() - started) - RESERVE
    trainer.num_iterations_per_epoch = max(1, int(left / step / EPOCHS) - 1)  # one validates
    trainer.run_training()
    seconds = time.perf_counter() - started
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,))
    raw, out = folder / "nnUNet_raw" / DATASET, folder / "nnunet"
    predictor.predict_from_files(str(raw / "imagesTs"), str(out), False, True, 1, 1)
    steps = trainer.num_iterations_per_epoch * EPOCHS
    (folder / "nnunet.json").write_text(json.dumps({"seconds": seconds, "steps": steps}))


def ours_run(folder: Path, data: list[str], epochs: int) -> tuple[Path, float]:
    """The run's folder, and the seconds until its training ended."""
    command = [
        sys.executable,
        str(HERE.parent / "experiments" / "run.py"),
        "model=unet",
        "model.size=small",
        f"queue.patch_size=[{PATCH},{PATCH},{PATCH}]",
        f"queue.batch_size={BATCH}",
        "augmentation=standard",
        "trainer.deep_supervision=true",
        f"trainer.max_epochs={epochs}",
        f"trainer.check_val_every_n_epoch={max(1, epochs // 4)}",
        "tracking=none",
        f"runs={folder}",
        f"name=e{epochs}",
        *data,
    ]
    started = time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (run,) = (folder / f"e{epochs}").iterdir()
    return run, (run / "checkpoints" / "last.ckpt").stat().st_mtime - started


def ours(folder: Path, data: list[str], minutes: float) -> dict[str, float]:
    """Train for so long, and score."""
    trial, taken = ours_run(folder / "trial", data, 3)
    seconds = pd.read_csv(trial / "metrics.csv")["seconds"]
    epoch = seconds.iloc[1:].mean()
    begin = taken - seconds.sum()
    epochs = max(1, int((60 * minutes - begin - RESERVE) / epoch))
    shutil.rmtree(folder / "trial")
    run, taken = ours_run(folder, data, epochs)
    summary = json.loads((run / "summary.json").read_text())
    return {"dice": summary["dice_mean"], "seconds": taken, "steps": summary["steps"]}


def nnunet(folder: Path, root: Path, minutes: float) -> dict[str, float]:
    """Train for so long in a process of its own, and score."""
    from lightning_brats.data.sources import load_cases
    from lightning_brats.evaluation import examine
    from lightning_brats.results import mean_scores

    command = [sys.executable, __file__, "--nnunet", str(folder), "--minutes", str(minutes)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    test = [path.name.removesuffix(".nii.gz") for path in (folder / "nnunet").glob("*.nii.gz")]
    cases = [case for case in load_cases(root).cases if case.case in test]
    scores = examine(folder / "nnunet", cases, regions=tuple(REGIONS)).scores
    means = mean_scores(scores, tuple(REGIONS))
    dice = sum(values["dice"] or 0 for values in means.values()) / len(means)
    return {"dice": dice, **json.loads((folder / "nnunet.json").read_text())}


def main() -> None:
    """Print a JSON line for each time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[5, 10, 20])
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--nnunet", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.nnunet:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            os.environ[name] = str(args.nnunet / name)
        nnunet_train(args.nnunet, args.minutes[0])
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        nnunet_folders(folder)
        from lightning_brats.data.phantom import write_phantom

        root = write_phantom(folder / "phantom", "brats2023-gli", args.cases, spacing=2.0)
        data = [f"data.root={root}", f"data.cache={folder / 'cache'}"]
        first, _ = ours_run(folder / "first", data, 1)  # prepares the cases and draws the split
        nnunet_planned(folder, root, split_of(first))
        for minutes in args.minutes:
            own = ours(folder / f"ours{minutes}", data, minutes)
            peer = nnunet(folder, root, minutes)
            record = {
                "benchmark": f"time_to_dice: {minutes:g} min",
                "ours": round(own["dice"], 4),
                "peer": round(peer["dice"], 4),
                "ratio": round(own["dice"] / max(peer["dice"], 1e-6), 3),
                "unit": "mean test Dice",
                "seconds": [round(own["seconds"]), round(peer["seconds"])],
                "steps": [own["steps"], peer["steps"]],
            }
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
