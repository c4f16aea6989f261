"""The W&B dashboard, with a server that lives in this process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from test_experiment import TINY
from wandb.apis import public

from lightning_brats import tracking
from lightning_brats.dashboard import axes, command
from lightning_brats.dashboard.axes import Axis
from lightning_brats.errors import ConfigError, DataError

ROOT = Path(__file__).parent.parent
RECORDED = {"epoch", "train/loss", "val/dice_mean", "val/dice_WT", "val/dice_best", "dice_mean"}
RECORDED |= {"regions/WT/dice", "train_seconds", "test/cases", "test/overlays"}


class Server:
    """What W&B keeps: views, by identifier; answers the four questions that are asked."""

    def __init__(self) -> None:
        self.app_url = "https://wandb.invalid"
        self.views: dict[str, dict[str, Any]] = {}
        self.projects: set[str] = set()
        self.refusal: Exception | None = None

    def execute_graphql(self, query: str, variables: dict[str, Any], **_: Any) -> dict[str, Any]:
        if self.refusal:
            raise self.refusal
        if "upsertView" in query:
            return {"upsertView": {"view": self._keep(variables), "inserted": True}}
        if variables.get("project", variables.get("name")) not in self.projects:
            return {"project": None}
        kind, name = variables.get("viewType", "runs"), variables.get("viewName")
        found = [v for v in self.views.values() if v["type"] == kind and name in (None, v["name"])]
        edges = [{"node": view, "cursor": view["id"]} for view in found]
        return {"project": {"allViews": {"edges": edges, "pageInfo": {"hasNextPage": False}}}}

    def _keep(self, sent: dict[str, Any]) -> dict[str, Any]:
        assert sent["projectName"] in self.projects
        identifier = sent.get("id") or f"view-{len(self.views)}"
        self.views[identifier] = {
            "id": identifier,
            "type": sent["type"],
            "name": sent["name"],
            "displayName": sent["displayName"],
            "description": sent["description"],
            "project": {"name": sent["projectName"], "entityName": sent["entityName"]},
            "spec": sent["spec"],
            "updatedAt": f"2026-01-01T00:00:{len(self.views):02}",
        }
        return self.views[identifier]

    def titles(self, kind: str) -> list[str]:
        return sorted(v["displayName"] for v in self.views.values() if v["type"] == kind)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Behind `wandb.Api`, through which everything goes, ours and the library's."""
    server = Server()

    class Api:
        default_entity = "me"

        def __init__(self) -> None:
            self._service_api = server

        def projects(self, entity: str) -> list[Any]:
            return [public.Project(server, entity, name, {}) for name in server.projects]

        def create_project(self, name: str, entity: str) -> None:
            server.projects.add(name)

        def reports(self, place: str) -> public.Reports:
            entity, name = place.split("/")
            return public.Reports(server, public.Project(server, entity, name, {}))

    monkeypatch.setattr(wandb, "Api", Api)
    return server


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`experiments/dashboard.py` with overrides."""
    monkeypatch.chdir(tmp_path)

    def called(*overrides: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["experiments/dashboard.py", "project=brains", *overrides])
        with initialize_config_module("lightning_brats.configs", version_base="1.3"):
            return command.run(compose("dashboard", ["project=brains", *overrides]))

    return called


def write_runs(folder: Path) -> None:
    for number, (model, lr) in enumerate([("unet", 1e-4), ("unet", 1e-1), ("segresnet", 1e-1)]):
        run = folder / f"trial-{number}"
        own = {"model_name": model, "optimizer": {"lr": lr}, "seed": number, "head": "regions"}
        (run / "wandb" / "files").mkdir(parents=True)
        OmegaConf.save(own, run / "config.yaml")
        OmegaConf.save({"wandb_version": 1}, run / "wandb" / "files" / "config.yaml")


def panels(report: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The set of runs of each grid of a report, with its panels."""
    for block in report["spec"]["blocks"]:
        if block["type"] == "panel-grid":
            grid = block["metadata"]
            (runs,) = grid["runSets"]
            yield runs, grid["panelBankSectionConfig"]["panels"]


def test_offline_both_are_written_and_it_says_how_to_send_them(
    run: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("entity=team", "group=losses", "mode=offline") is None
    workspace = json.loads((tmp_path / "dashboard" / "workspace.json").read_text())
    report = json.loads((tmp_path / "dashboard" / "report.json").read_text())
    assert workspace["displayName"] == report["displayName"] == "Comparison of losses"
    assert report["project"] == {"name": "brains", "entityName": "team"}
    printed = capsys.readouterr().out
    assert "wandb login\n" in printed
    assert "find runs/losses -type d -name 'offline-run-*'" in printed
    assert "-exec wandb sync --project brains --entity team {} +" in printed
    again = "python experiments/dashboard.py project=brains entity=team group=losses\n"
    assert again in printed  # without mode=offline


def test_the_report_groups_runs_and_keeps_to_the_group(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    write_runs(tmp_path / "runs" / "losses")
    run("group=losses", "regions=[WT,RC]")
    report = json.loads((tmp_path / "dashboard" / "report.json").read_text())
    grids = list(panels(report))
    grouping = [[key["name"] for key in runs["grouping"]] for runs, _ in grids]
    model, loss, augmentation = (
        f"choice.value.{name}" for name in ("model", "loss", "augmentation")
    )
    assert grouping == [[model], [loss], [augmentation], [], []]
    for runs, _ in grids:
        (only,) = runs["filters"]["filters"]
        assert (only["key"]["name"], only["op"], only["value"]) == ("group", "=", "losses")
    kinds = [panel["viewType"] for panel in grids[0][1]]
    assert kinds == ["Run History Line Plot"] * 4 + ["Bar Chart"] * 3
    metrics = [panel["config"]["metrics"][0] for panel in grids[0][1]]
    assert metrics == [
        *("val/dice_mean", "val/dice_WT", "val/dice_RC", "train/loss"),
        *("dice_mean", "regions/WT/dice", "regions/RC/dice"),
    ]


def test_settings_and_cases_have_their_panels(run: Callable[..., Any], tmp_path: Path) -> None:
    write_runs(tmp_path / "elsewhere")
    run("runs=elsewhere")
    report = json.loads((tmp_path / "dashboard" / "report.json").read_text())
    *_, (_, settings), (_, cases) = panels(report)
    parallel, importance, scatter = (panel["config"] for panel in settings)
    assert parallel["columns"] == [
        {"accessor": "config:choice.value.model"},
        {"accessor": "config:optimizer.value.lr", "log": True},
        {"accessor": "summary:val/dice_best"},
    ]
    assert importance["targetKey"] == "val/dice_best"
    assert (scatter["xAxis"], scatter["yAxis"]) == ("summary:train_seconds", "summary:dice_mean")
    media = cases[0]["config"]
    assert media["mediaKeys"] == ["test/overlays"]
    assert media["gridSettings"] == {"xAxis": "run", "yAxis": "index"}
    assert '"test/cases"' in json.dumps(cases[1])


def test_the_workspace_groups_in_its_panels(run: Callable[..., Any], tmp_path: Path) -> None:
    run("by=[optimizer]")
    workspace = json.loads((tmp_path / "dashboard" / "workspace.json").read_text())
    section = workspace["spec"]["section"]
    assert section["runSets"][0]["grouping"] == []
    first, *others = section["panelBankConfig"]["sections"]
    assert [other["name"] for other in others] == ["Settings", "Cases"]
    for panel in first["panels"]:
        assert panel["config"]["groupBy"] == "choice.value.optimizer"
        assert panel["config"]["aggregate"] is True


def test_run_again_it_updates_and_does_not_double(
    server: Server, run: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first = run("mode=online", "by=[model]")  # the project is not there yet
    assert server.projects == {"brains"}
    before = {key: view["spec"] for key, view in server.views.items()}
    assert run("mode=online", "by=[loss]") == first
    assert server.titles("runs") == server.titles("project-view") == ["Comparison of brains"]
    assert all("choice.value.loss" in view["spec"] for view in server.views.values())
    assert all("choice.value.loss" not in spec for spec in before.values())
    assert first[0].startswith("https://wandb.invalid/me/brains?nw=")
    assert first[1] in capsys.readouterr().out

    run("mode=online", "title=Another")
    assert server.titles("runs") == ["Another", "Comparison of brains"]
    assert server.titles("project-view") == ["Another", "Comparison of brains"]


def test_what_is_sent_is_what_is_written(
    server: Server, run: Callable[..., Any], tmp_path: Path
) -> None:
    def stripped(content: Any) -> Any:
        """Without the identifiers that the library draws."""
        if isinstance(content, dict):
            return {k: stripped(v) for k, v in content.items() if k not in ("id", "__id__")}
        return [stripped(part) for part in content] if isinstance(content, list) else content

    run("entity=me")
    run("entity=me", "mode=online")
    sent = {view["type"]: json.loads(view["spec"]) for view in server.views.values()}
    for kind, name in (("project-view", "workspace"), ("runs", "report")):
        written = json.loads((tmp_path / "dashboard" / f"{name}.json").read_text())
        assert stripped(written["spec"]) == stripped(sent[kind])


def test_a_refusal_is_told(server: Server, run: Callable[..., Any]) -> None:
    server.refusal = RuntimeError("permission denied")
    with pytest.raises(ConfigError, match="permission denied"):
        run("mode=online")
    assert not server.views


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("by=[colour]", "grouped by colour"),
        ("mode=sometimes", "mode=sometimes"),
        ("runs=nowhere", "no such folder of runs"),
        ("title='U-Net + focal'", "symbols"),
        (f"title={'a' * 129}", "129 characters"),
    ],
)
def test_mistakes_are_told(run: Callable[..., Any], override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(override)


def test_the_missing_package_is_named(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"\[dashboard\]"):
        run()


def test_axes_are_the_settings_that_differ(tmp_path: Path) -> None:
    assert axes.varied(tmp_path) == ()
    write_runs(tmp_path)
    assert axes.varied(tmp_path) == (Axis("choice.model"), Axis("optimizer.lr", log=True))
    (tmp_path / "trial-1" / "config.yaml").write_text("a: [")
    with pytest.raises(DataError, match="trial-1"):
        axes.varied(tmp_path)


def test_the_best_validation_comes_from_the_table_of_epochs(tmp_path: Path) -> None:
    table = tmp_path / "metrics.csv"
    assert tracking._best_validation(table) is None
    table.write_text("epoch,val/dice_mean\n0,\n")
    assert tracking._best_validation(table) is None
    table.write_text("epoch,val/dice_mean\n0,0.25\n1,\n2,0.75\n3,0.5\n")
    assert tracking._best_validation(table) == 0.75


@pytest.mark.slow
def test_a_run_records_every_key_that_panels_read(tmp_path: Path) -> None:
    options = [option for option in TINY if not option.startswith("tracking")]
    done = subprocess.run(
        [sys.executable, ROOT / "experiments" / "run.py", *options, "loss=dice_focal"],
        cwd=tmp_path,
        env={**os.environ, "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    record = next((tmp_path / "runs").rglob("*.wandb"))
    wandb_command = Path(sys.executable).with_name("wandb")
    shown = subprocess.run(
        [wandb_command, "leet", "inspect", "--summary", "--json", record],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(shown.stdout)
    assert set(found["summary"]) >= RECORDED
    assert "dice_focal" in json.dumps(found["config"])
