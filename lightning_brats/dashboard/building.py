"""The views as a W&B workspace, and as a report."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.utils.validators import validate_no_emoji

from lightning_brats.dashboard.axes import Axis
from lightning_brats.dashboard.views import View, key, views
from lightning_brats.errors import ConfigError

LONGEST = 128
"""Characters of a title that W&B takes."""

NOTE = (
    "Written by experiments/dashboard.py, which replaces it when run again: duplicate it before "
    "changing anything by hand. Whether a difference is more than chance is said by "
    "experiments/compare.py."
)


@dataclass(frozen=True)
class Plan:
    """What to build.

    Args:
        entity: User or team; empty where only W&B knows it.
        project: Where the runs are.
        title: Of workspace and report, and how they are found again.
        group: Runs of this group only.
        regions: Whose Dice is shown.
        by: Config groups by which runs are grouped.
        axes: Settings that differ between runs.
    """

    entity: str
    project: str
    title: str
    group: str | None
    regions: tuple[str, ...]
    by: tuple[str, ...]
    axes: tuple[Axis, ...]


def check_title(title: str) -> None:
    """Refuse what W&B would.

    Raises:
        ConfigError: The title is too long, or has symbols in it.
    """
    if len(title) > LONGEST:
        problem = f"the title has {len(title)} characters; W&B takes {LONGEST}"
        raise ConfigError(problem, remedy="a shorter title=")
    try:
        validate_no_emoji(title)
    except ValueError as error:
        problem = f"W&B takes no title with symbols such as + = | in it: {title}"
        raise ConfigError(problem, remedy="title= of letters, digits and punctuation") from error


def identifier(title: str) -> str:
    """Of a workspace at W&B: the same for the same title, so that it is found again."""
    return hashlib.sha256(title.encode()).hexdigest()[:11]


def build_workspace(plan: Plan) -> ws.Workspace:
    """A section a view. The list of runs is not grouped: one list serves all panels."""
    workspace = ws.Workspace(
        entity=plan.entity,
        project=plan.project,
        name=plan.title,
        sections=[
            ws.Section(
                name=view.heading,
                panels=view.panels,
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=view.columns, rows=3),
            )
            for view in views(plan.regions, plan.by, plan.axes, grouping=True)
        ],
        settings=ws.WorkspaceSettings(max_runs=100),
        runset_settings=ws.RunsetSettings(filters=_filters(plan)),
    )
    # The library names new workspaces at random, which would make a second one of every save.
    workspace._internal_name = f"nw-{identifier(plan.title)}-v"
    return workspace


def build_report(plan: Plan) -> wr.Report:
    """A heading, a text, a set of runs and its panels a view."""
    blocks: list[Any] = [wr.P(NOTE), wr.TableOfContents()]
    for view in views(plan.regions, plan.by, plan.axes, grouping=False):
        grid = wr.PanelGrid(runsets=[_runs(plan, view)], panels=view.panels)
        blocks += [wr.H1(view.heading), wr.P(view.text), grid]
    return wr.Report(
        project=plan.project,
        entity=plan.entity,
        title=plan.title,
        description=f"Runs of {plan.group or plan.project}, compared.",
        blocks=blocks,
        width="fluid",
    )


def _runs(plan: Plan, view: View) -> wr.Runset:
    """Of the report's own project, so that building it asks nobody."""
    name = f"by {view.by}" if view.by else "all runs"
    groupby = [f"config.{key(view.by)}"] if view.by else []
    return wr.Runset(name=name, groupby=groupby, filters=_filters(plan))


def _filters(plan: Plan) -> list[Any]:
    return [ws.Metric("Group") == plan.group] if plan.group else []
