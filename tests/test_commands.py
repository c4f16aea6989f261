"""The commands as a user types them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from test_experiment import TINY

from lightning_brats.__main__ import COMMANDS
from lightning_brats.data.phantom import write_phantom
from lightning_brats.prediction import predict

ROOT = Path(__file__).parent.parent


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "experiments" / script), *arguments]


def call(script: str, *arguments: str, cwd: Path, **settings) -> subprocess.CompletedProcess:
    typed = command(script, *arguments)
    return subprocess.run(typed, cwd=cwd, capture_output=True, text=True, timeout=240, **settings)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "phantom"
    return write_phantom(root, layout="brats2021", cases=6, spacing=6.0)


@pytest.fixture(scope="module")
def finished(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, tracked offline, and what it printed."""
    folder = tmp_path_factory.mktemp("work")
    options = [o for o in TINY if not o.startswith("tracking")]
    environment = {**os.environ, "WANDB_MODE": "offline"}
    done = call("run.py", f"data.root={phantom}", *options, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    run = next((folder / "runs" / "attention_unet").iterdir())
    (run / "printed.txt").write_text(done.stdout + done.stderr)
    return run


def test_the_terminal_ends_with_scores_and_where_to_look(finished: Path) -> None:
    printed = (finished / "printed.txt").read_text()
    for word in ("WT", "TC", "ET", "Dice", "HD95", "sensitivity", "precision", "report.html"):
        assert word in printed
    assert "Traceback" not in printed


def test_nothing_is_written_but_the_run(finished: Path) -> None:
    assert {p.name for p in finished.parents[2].iterdir()} == {"runs"}


def test_wandb_reads_the_offline_run_back(finished: Path) -> None:
    record = next(finished.glob("wandb/offline-run-*/*.wandb"))
    wandb = Path(sys.executable).with_name("wandb")
    shown = subprocess.run(
        [wandb, "leet", "inspect", "--summary", record], capture_output=True, text=True, timeout=60
    )
    summary = json.loads((finished / "summary.json").read_text())
    assert shown.returncode == 0, shown.stderr
    assert f"{summary['dice_mean']:.4f}"[:5] in shown.stdout


def test_predict_then_evaluate(finished: Path, tmp_path: Path) -> None:
    new = write_phantom(
        tmp_path / "new", layout="brats2023-gli", cases=2, spacing=6.0, seed=9, labelled=False
    )
    output = tmp_path / "masks"
    done = call(
        "predict.py",
        f"checkpoint={finished / 'checkpoints' / 'best.ckpt'}",
        f"input={new}",
        f"output={output}",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    masks = sorted(output.glob("*.nii.gz"))
    assert len(masks) == 2
    source = nib.load(next(new.rglob("*-t1c.nii.gz")))
    assert np.allclose(nib.load(masks[0]).affine, source.affine)

    references = write_phantom(
        tmp_path / "known", layout="brats2023-gli", cases=2, spacing=6.0, seed=9
    )
    scored = call(
        "evaluate.py",
        f"predictions={output}",
        f"references={references}",
        f"output={tmp_path / 'scores'}",
        cwd=tmp_path,
    )
    assert scored.returncode == 0, scored.stderr
    assert "Dice" in scored.stdout
    scores = pd.read_csv(tmp_path / "scores" / "evaluation.csv")
    assert scores["case"].nunique() == 2


def test_predicting_reproduces_the_run_s_own_masks(
    finished: Path, phantom: Path, tmp_path: Path
) -> None:
    checkpoint = finished / "checkpoints" / "best.ckpt"
    overrides = [f"checkpoint={checkpoint}", f"input={phantom}", f"output={tmp_path}"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        predict(compose("predict", [*overrides, "precision=32"]))
    for path in (finished / "predictions").iterdir():
        own, again = (np.asarray(nib.load(p).dataobj) for p in (path, tmp_path / path.name))
        assert (own == again).mean() > 0.999  # the run predicted in its own precision


@pytest.mark.slow
def test_two_processes_train_together(phantom: Path, tmp_path: Path) -> None:
    ddp = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu")
    done = call("run.py", f"data.root={phantom}", *TINY, *ddp, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = list((tmp_path / "runs" / "attention_unet").iterdir())
    assert len(runs) == 1
    assert (runs[0] / "report.html").exists()
    assert done.stdout.count("report.html") == 1
    assert pd.read_csv(runs[0] / "metrics.csv")["step"].tolist() == [2, 4]


@pytest.mark.slow
def test_submitit_runs_a_job_for_each_value(phantom: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launcher = ("--multirun", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10")
    given = ("model=unet,residual_unet", "name=${model_name}-${seed}", "trainer.max_epochs=1")
    options = [o for o in TINY if not o.startswith("trainer.max_epochs")]
    done = call("run.py", *launcher, *given, f"data.root={phantom}", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("unet-0", "residual_unet-0"):
        (run,) = (tmp_path / "runs" / name).iterdir()
        assert (run / "report.html").exists()


def test_ctrl_c_saves_and_says_how_to_go_on(phantom: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("run.py", f"data.root={phantom}", *TINY, "trainer.max_epochs=5000"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resume=auto" in errors
    assert "Traceback" not in errors


def test_a_misspelt_model_lists_the_choices(tmp_path: Path) -> None:
    done = call("run.py", "model=attention_unett", cwd=tmp_path)
    assert done.returncode != 0
    assert "attention_unet\n" in done.stderr


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    done = call("run.py", "queue.batchsize=3", cwd=tmp_path)
    assert done.returncode != 0
    assert "queue.batchsize" in done.stderr


def test_bad_input_ends_with_a_message_not_a_traceback(tmp_path: Path) -> None:
    done = call("run.py", "data.root=/no/such/folder", cwd=tmp_path)
    assert done.returncode == 2
    assert "/no/such/folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_is_listed() -> None:
    """Every script, and every module that code, configurations or pages tell to run."""
    scripts = [*(ROOT / "experiments").glob("*.py"), *(ROOT / "sweeps").glob("*.py")]
    told = [*ROOT.glob("lightning_brats/**/*.py"), *ROOT.glob("lightning_brats/**/*.yaml")]
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in told + pages)
    modules = set(re.findall(r"python -m lightning_brats\.[\w.]*\w", text))
    assert "python -m lightning_brats.data.raw.landmarks" in modules
    assert {f"python {path.relative_to(ROOT)}" for path in scripts} | modules == COMMANDS.keys()


def test_the_page_s_extra_installs_what_its_parts_import() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert set(extras["explain"]) <= set(extras["app"])
    assert "nilearn>=0.13" in extras["app"]  # which comes with NiiVue
