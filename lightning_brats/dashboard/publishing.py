"""Workspace and report to W&B, or to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.workspaces.internal import get_view_dict

from lightning_brats import tracking
from lightning_brats.dashboard.building import identifier


def publish(workspace: ws.Workspace, report: wr.Report) -> tuple[str, str]:
    """Create both, or bring those of the same title up to date; returns their addresses."""
    place = f"{report.entity}/{report.project}"
    report.id = tracking.find_report(place, report.title) or ""
    report.save()  # also creates the project
    workspace._internal_id = _find_workspace(workspace) or ""
    workspace.save()
    return workspace.url, report.url


def write(workspace: ws.Workspace, report: wr.Report, folder: Path) -> list[Path]:
    """`workspace.json` and `report.json`: the specifications that `publish` would send."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, model in (("workspace", workspace._to_model()), ("report", report._to_model())):
        content: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _find_workspace(workspace: ws.Workspace) -> str | None:
    try:
        found = get_view_dict(workspace.entity, workspace.project, identifier(workspace.name))
    except ValueError:  # there is none yet
        return None
    return str(found["id"])
