"""Hundreds of fast trials while workers are killed at random: is one lost, or run twice?

    python benchmarks/sweep_load.py --storage journal
    python benchmarks/sweep_load.py --storage sqlite
    python benchmarks/sweep_load.py --storage postgresql://user:password@localhost/name

Prints the figures and ends with status 1 if a trial was lost, run twice, or left behind.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import optuna
import psutil
from optuna.trial import TrialState

from lightning_brats.sweeps.storage import open_storage

ROOT = Path(__file__).resolve().parents[1]
TRIAL = """
import fcntl, os, random, sys, time
folder = os.environ["LIGHTNING_BRATS_RUN"]
os.makedirs(folder, exist_ok=True)
def say(event):
    with open(os.path.join(os.path.dirname(folder), "events.txt"), "a", 1) as stream:
        stream.write(event + " " + os.path.basename(folder) + "\\n")
busy = open(os.path.join(folder, "busy"), "w")
try:
    fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    say("twice")
say("start")
time.sleep(random.uniform(0, SECONDS))
with open(os.path.join(folder, "metrics.csv"), "w") as stream:
    stream.write("epoch,val/dice_mean\\n0," + sys.argv[1].partition("=")[2] + "\\n")
say("end")
os._exit(0)  # a process that is killed after its last act, before it ends, is rightly run again
"""


def workers(parent: psutil.Process) -> list[psutil.Process]:
    """Worker processes of the sweep's command."""
    found = []
    for child in parent.children():
        try:
            if any("spawn_main" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def main() -> int:
    """Run the load and judge what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--storage", default="sqlite", help="sqlite, journal, or a URL")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument(
        "--every", type=float, default=0.8, help="seconds between kills, on average"
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="a trial's length, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return load(options, Path(name))


def load(options: argparse.Namespace, folder: Path) -> int:
    """One sweep under fire in an empty folder."""
    files = {"sqlite": "null", "journal": f"journal:///{folder / 'study.log'}"}
    script = folder / "trial.py"
    script.write_text(TRIAL.replace("SECONDS", str(options.seconds)))
    settings = [
        f"name=load{time.time_ns()}",
        f"storage={files.get(options.storage, options.storage)}",
        f"grid={{x:{json.dumps(list(range(options.trials)))}}}",
        f"command=[{sys.executable},-S,-E,{script}]",
        f"workers={options.workers}",
        f"retries={options.kills}",
        "heartbeat=1",
        "grace=5",
        f"runs={folder / 'runs'}",
    ]
    draw = random.Random(options.seed)
    started = time.monotonic()
    sweep = subprocess.Popen([sys.executable, str(ROOT / "sweeps" / "run.py"), *settings])
    kills = 0
    while sweep.poll() is None:
        time.sleep(draw.expovariate(1 / options.every))
        targets = workers(psutil.Process(sweep.pid)) if sweep.poll() is None else []
        begun = list(folder.glob("runs/*/events.txt"))
        if targets and begun and kills < options.kills:
            draw.choice(targets).kill()
            kills += 1
    seconds = time.monotonic() - started
    runs = next((folder / "runs").iterdir())
    kept = files.get(options.storage, options.storage)
    url = f"sqlite:///{runs / 'study.db'}" if kept == "null" else kept
    study = optuna.load_study(study_name=runs.name, storage=open_storage(url))
    done = Counter(
        tuple(trial.user_attrs["overrides"])
        for trial in study.get_trials(states=[TrialState.COMPLETE])
    )
    print(f"\n{options.trials} trials, {options.workers} workers, {kills} kills, {seconds:.0f} s")
    return judge(options, runs, done)


def judge(options: argparse.Namespace, folder: Path, done: Counter[tuple[str, ...]]) -> int:
    """Count what the trials wrote and what the study holds."""
    events = [line.split() for line in (folder / "events.txt").read_text().splitlines()]
    starts = Counter(trial for event, trial in events if event == "start")
    ends = Counter(trial for event, trial in events if event == "end")
    lost = options.trials - min(len(ends), len(done))
    double = sum(count > 1 for count in (*ends.values(), *done.values()))
    twice = sum(event == "twice" for event, _ in events)
    outcomes = len(list((folder / ".state").glob("*.json")))
    print(
        f"{lost} lost, {double} finished twice, {twice} overlapping, "
        f"{sum(starts.values()) - len(starts)} attempts cut short and repeated, "
        f"{outcomes} outcomes recorded"
    )
    return int(bool(lost or double or twice or outcomes != options.trials))


if __name__ == "__main__":
    sys.exit(main())
