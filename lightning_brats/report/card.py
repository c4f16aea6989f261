"""The model card of a run: what the weights are, what they are good for, and what not.

Sections follow Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). It is Markdown, so
that it can lie beside the weights wherever they go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lightning_brats.data.case import Case
from lightning_brats.evaluation.summary import summarise
from lightning_brats.figures.slices import MODALITY_NAMES
from lightning_brats.labels import REGION_NAMES
from lightning_brats.report import citations, facts
from lightning_brats.report.card_scores import cohort_rows, limits, score_rows
from lightning_brats.report.run import Run, read_run
from lightning_brats.report.wording import (
    MISSING,
    amount,
    duration,
    listed,
    plural,
    setting,
    settings,
)

CARD = "model_card.md"
TRAINED_WITH = ("loss", "optimizer", "scheduler", "augmentation", "queue", "trainer")
"""Groups of the configuration that say how a network was trained."""


def write_card(folder: Path, cases: Mapping[str, Case]) -> Path:
    """Write `model_card.md` into a finished run's folder.

    Args:
        folder: As for `write_report`; a classical method's run has no `metrics.csv`.
        cases: The test cases by identifier.

    Returns:
        The card.

    Raises:
        DataError: A required file is missing or damaged.
    """
    run = read_run(folder, trained=(folder / "metrics.csv").is_file())
    environment = Environment(
        loader=PackageLoader("lightning_brats"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = _escaped
    found = summarise(run.scores)
    text = environment.get_template("model_card.md.j2").render(
        **_about(run, cases),
        regions=[(region, REGION_NAMES[region]) for region in run.regions],
        scores=score_rows(found, run.regions),
        cohorts=cohort_rows(run),
        tested=f"{plural(found['cases'], 'case')} of {plural(found['patients'], 'patient')}",
        penalty=f"{found['penalty_mm']:g}",
        limits=limits(run, found["patients"]),
        references=_references(run),
    )
    path = folder / CARD
    path.write_text(text, encoding="utf-8")
    return path


def _about(run: Run, cases: Mapping[str, Case]) -> dict[str, Any]:
    """The run, its network, its data and its training."""
    classical = bool(run.summary.get("classical", False))
    known = dict(facts.data(run, cases))
    return {
        "model": run.summary["model"],
        "data": run.summary["data"],
        "date": run.date,
        "phantom": bool(run.summary.get("phantom", False)),
        "classical": classical,
        "network": _network(run, cases),
        "data_facts": list(known.items()),
        "split": run.split_sizes(),
        "training": [] if classical else _training(run),
        "versions": run.environment.get("versions", {}),
        "command": run.environment.get("command", "not recorded"),
        "environment": facts.environment(run)[:3],
    }


def _network(run: Run, cases: Mapping[str, Case]) -> list[tuple[str, str]]:
    modalities = list(next(iter(cases.values())).images) if cases else []
    names = [f"{MODALITY_NAMES.get(m, m)} (`{m}`)" for m in modalities]
    head = {"regions": "a sigmoid a region", "labels": "a softmax over labels"}
    optional = run.config.get("modality_dropout") or 0
    return [
        ("Method", _group(run, "model")),
        *([("Parameters", amount(run.summary["parameters"]))] if _has(run, "parameters") else []),
        ("Input", ", ".join(names) + ("; some may be missing" if optional else "")),
        ("Preprocessing", _group(run, "preprocess")),
        ("Output", f"{listed(run.regions)}: {head.get(run.config.get('head', ''), 'labels')}"),
        *([("Window", _group(run, "inference"))] if "inference" in run.config else []),
        ("Post-processing", _postprocess(run)),
    ]


def _training(run: Run) -> list[tuple[str, str]]:
    summary = run.summary
    started = run.config.get("weights")
    return [
        (
            "Epochs and steps",
            f"{summary.get('epochs', MISSING)} and {summary.get('steps', MISSING)}",
        ),
        ("Epoch kept", f"{summary.get('best_epoch', MISSING)}, by validation Dice"),
        ("Training time", f"{duration(summary.get('train_seconds'))} on {_hardware(run)}"),
        ("Started from", f"`{started}`" if started else "random weights"),
        *((name.capitalize(), _group(run, name)) for name in TRAINED_WITH if name in run.config),
    ]


def _references(run: Run) -> list[str]:
    cohorts = [] if run.summary.get("phantom") else set(run.scores["cohort"])
    found = [*citations.of_network(run.config.get("model", {})), *citations.of_data(cohorts)]
    return [*found, citations.CARDS]


def _postprocess(run: Run) -> str:
    chosen = run.config.get("postprocess") or {}
    base = chosen.get("base", chosen)
    steps = [_described(step) for step in base.get("steps", [])]
    limit = base.get("threshold")
    said = [*([] if limit is None else [f"thresholds {setting(limit)}"]), *steps]
    return ". ".join(part for part in ("; ".join(said), facts.tuned(run)) if part) or "none"


def _group(run: Run, name: str) -> str:
    return _described(run.config.get(name) or {})


def _described(group: Mapping[str, Any]) -> str:
    """What a group of the configuration builds, and its settings."""
    target, leaves = settings(group)
    known = [f"{key} {value}" for key, value in leaves if value not in ("none", "no")]
    return f"{target} ({', '.join(known)})" if target and known else target or ", ".join(known)


def _has(run: Run, key: str) -> bool:
    return run.summary.get(key) is not None


def _hardware(run: Run) -> str:
    return dict(facts.environment(run))["Hardware"]


def _escaped(text: str) -> str:
    """Text in a Markdown table or paragraph; names may hold what Markdown reads as markup."""
    return re.sub(r"([|*<\[\]])", r"\\\1", str(text)).replace("\n", " ")
