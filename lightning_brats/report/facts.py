"""What stands around the scores: cost, settings, data, environment, each as name and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lightning_brats.data.case import Case
from lightning_brats.report import wording
from lightning_brats.report.run import Run
from lightning_brats.report.wording import MISSING, amount, duration, heading, number, plural

Facts = list[tuple[str, str]]


def cost(run: Run) -> Facts:
    """Size of the network, and what training took."""
    summary = run.summary
    memory = summary.get("peak_memory_mb")
    gflops = summary.get("gflops_per_patch")
    best = summary.get("best_epoch")
    return [
        ("Parameters", amount(summary.get("parameters"))),
        ("Arithmetic per patch", MISSING if gflops is None else f"{gflops:,.3g} GFLOPs"),
        ("Training time", duration(summary.get("train_seconds"))),
        (
            "Epochs and steps",
            f"{summary.get('epochs', MISSING)} and {summary.get('steps', MISSING)}",
        ),
        ("Epoch kept", MISSING if best is None else str(best)),
        ("Peak memory", MISSING if memory is None else f"{memory / 1024:.2g} GB"),
        ("Patches per second", _patches(run)),
        ("Time spent waiting for data", _waiting(run)),
        ("Hardware", _hardware(run.environment.get("hardware", {}))),
    ]


def settings(run: Run) -> list[tuple[str, str, Facts]]:
    """Group, what it builds, and its settings; single values first, as the group `run`."""
    single = {k: v for k, v in run.config.items() if not isinstance(v, Mapping)}
    groups = {k: v for k, v in run.config.items() if isinstance(v, Mapping)}
    return [(name, *wording.settings(group)) for name, group in {"run": single, **groups}.items()]


def data(run: Run, cases: Mapping[str, Case]) -> Facts:
    """Where the test cases come from and how they are coded."""
    counted = run.scores.groupby("cohort")["case"].nunique()
    cohorts = ", ".join(f"{name or 'unnamed'} ({count})" for name, count in counted.items())
    schemes = {case.scheme.describe() for case in cases.values()}
    modalities = {", ".join(case.images) for case in cases.values()}
    return [
        ("Data set", str(run.summary["data"])),
        ("Cohorts of the test cases", cohorts),
        ("Modalities", "; ".join(sorted(modalities))),
        ("Labels in the files", "; ".join(sorted(schemes))),
        ("Split", _draw(run)),
        *([("Cases left out", str(len(left)))] if (left := excluded(run)) else []),
        ("Data fingerprint", str(run.summary.get("data_fingerprint", MISSING))),
    ]


def tuned(run: Run) -> str:
    """What tuning the post-processing brought, where that was done."""
    found = run.summary.get("postprocess")
    if not found:
        return ""
    count = plural(found["validation_cases"], "validation case")
    return (
        f"Post-processing tuned: mean {heading(found['metric'])} {number(found['before'])} → "
        f"{number(found['after'])} on {count}; expect less on others."
    )


def excluded(run: Run) -> list[dict[str, str]]:
    """Cases that were found but not used, each with `case` (or its file) and `problem`."""
    return [
        {"case": str(row["case"] or row.get("file") or "–"), "problem": str(row["problem"])}
        for row in run.summary.get("excluded") or []
    ]


def environment(run: Run) -> Facts:
    """Commit, hardware, seed and versions."""
    found = run.environment
    fixed = [
        ("Commit", found.get("commit")),
        ("Hardware", _hardware(found.get("hardware", {}))),
        ("Seed", found.get("seed")),
    ]
    return [
        *((name, MISSING if value is None else str(value)) for name, value in fixed),
        *((name, str(version)) for name, version in found.get("versions", {}).items()),
    ]


def external(run: Run) -> list[str]:
    """Cohorts that were kept for the test, whole."""
    chosen = (run.config.get("split") or {}).get("test_cohorts") or []
    return [chosen] if isinstance(chosen, str) else list(chosen)


def _draw(run: Run) -> str:
    split = run.split
    if split.seed is None:
        return "given as lists"
    fold = "" if split.fold is None else f", fold {split.fold} of {split.folds}"
    kept = f"; tested on whole cohorts: {', '.join(found)}" if (found := external(run)) else ""
    return f"drawn by patient, seed {split.seed}{fold}{kept}"


def _hardware(found: Mapping[str, Any]) -> str:
    gpu = found.get("gpu")
    gpus = [gpu] if isinstance(gpu, str) else list(gpu or [])
    parts = [f"{gpus.count(name)} × {name}" for name in dict.fromkeys(gpus)]
    parts += [str(found["cpu"])] if found.get("cpu") else []
    parts += [f"{found['cores']} cores"] if found.get("cores") else []
    parts += [f"{found['memory_gb']:.0f} GB memory"] if found.get("memory_gb") else []
    return ", ".join(parts) or MISSING


def _patches(run: Run) -> str:
    """Median over the epochs, so that a slow first one does not count for much."""
    if "patches_per_second" not in run.history:
        return MISSING
    return number(float(run.history["patches_per_second"].median()), 1)


def _waiting(run: Run) -> str:
    """Share of the training time, every epoch weighing what it lasted."""
    if not {"wait_share", "seconds"} <= set(run.history):
        return MISSING
    rows = run.history.dropna(subset=["wait_share", "seconds"])
    if rows.empty:
        return MISSING
    return f"{100 * float(np.average(rows['wait_share'], weights=rows['seconds'])):.1f} %"
