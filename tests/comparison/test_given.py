"""What a run worked out itself, and which weights it started from, make no choice."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from conftest import write_case
from omegaconf import OmegaConf
from simulated import entry, quick
from test_choice_names import settings
from test_entries import write_run

from lightning_brats.comparison import load_entries
from lightning_brats.comparison.checks import check_entries
from lightning_brats.comparison.choices import factors, label
from lightning_brats.comparison.given import as_given, open_paths
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.experiment import configure
from lightning_brats.machine import Machine
from lightning_brats.resolving import resolve
from lightning_brats.runs import flat

SIZES = ["queue.patch_size", "inference.patch_size"]


def labels(*runs: dict[str, Any]) -> list[str]:
    return [label(levels) for levels in factors(runs)]


@cache
def base() -> dict[str, Any]:
    """A composed configuration, which takes a while."""
    return settings("model=unet", "loss=weighted_ce")


def sized(edge: int, *resolved: str, **other: Any) -> dict[str, Any]:
    """A run with cubic patches, and which of its settings were `auto`."""
    known = {**base(), **dict.fromkeys(SIZES, [edge] * 3)}
    return known | {"resolved": list(resolved)} | other


def test_folds_of_one_model_are_one_choice() -> None:
    """Each has patches and weights of its own training cases."""
    folds = [
        sized(32 + 8 * fold, "loss.foreground", *SIZES, **{"fold": fold, "loss.foreground": fold})
        for fold in range(5)
    ]
    assert labels(*folds) == [""] * 5
    older = [{key: value for key, value in run.items() if key != "resolved"} for run in folds]
    assert labels(*older)[:2] == [
        "patch_size=[32, 32, 32] · foreground=0",
        "patch_size=[40, 40, 40] · foreground=1",
    ]


def test_a_size_that_was_given_is_another_choice_than_one_that_was_not() -> None:
    runs = sized(48, *SIZES), sized(64, *SIZES), sized(32)
    assert labels(*runs) == ["patch_size=auto", "patch_size=auto", "patch_size=[32, 32, 32]"]
    assert labels(sized(64, *SIZES), sized(64)) == ["", ""]  # the same training


def test_auto_inside_a_list_leaves_the_rest_of_it() -> None:
    def run(second: str, value: float) -> dict[str, Any]:
        terms = ["dice", {"name": second, "foreground": [value]}]
        resolved = ["loss.terms.1.foreground", "nowhere.at.all"]
        return base() | {"loss.terms": terms, "resolved": resolved}

    first = run("ce", 0.5)
    assert as_given(first)["loss.terms"] == ["dice", {"name": "ce", "foreground": "auto"}]
    assert first["loss.terms"][1]["foreground"] == [0.5]
    assert labels(first, run("ce", 0.7)) == ["", ""]
    assert len(set(labels(first, run("focal", 0.5)))) == 2


def test_paths_of_what_is_open() -> None:
    content = {"a": "auto", "b": {"c": ["x", {"d": "auto"}], "e": 1}, "f": ["auto"]}
    assert open_paths(content) == ["a", "b.c.1.d", "f.0"]


def test_a_run_notes_what_it_worked_out(tmp_path: Path) -> None:
    cases = tuple(write_case(tmp_path, f"c{i}", seed=i) for i in range(3))
    split = Split(("c0",), ("c1",), ("c2",))
    data = BratsDataModule(CaseSource("made up", cases), split=split, cache=tmp_path / "cache")
    term = "{name: weighted_ce, foreground: auto}"
    cfg = configure("loss=compound", f"loss.terms=[dice,{term}]", "queue.batch_size=3")
    found = resolve(cfg, Machine("cpu", 2, 8.0, (), 0.0), data)
    assert {"queue.patch_size", "inference.patch_size", "trainer.precision"} < set(found.resolved)
    assert "loss.terms.1.foreground" in found.resolved
    assert "queue.batch_size" not in found.resolved
    assert "resolved" not in cfg
    again = as_given(flat(found))
    assert again["queue.patch_size"] == "auto"
    assert again["loss.terms"][1] == {"name": "weighted_ce", "foreground": "auto"}


def test_weights_of_a_first_stage_of_their_own_are_one_choice() -> None:
    runs = [base() | {"weights": path} for path in ("a.ckpt", "b.ckpt", None)]
    assert labels(*runs) == ["weights=given", "weights=given", "weights=null"]
    assert labels(*runs[:2]) == ["", ""]


def tuned(folder: Path, seed: int, weights: str | None, name: str = "unet") -> None:
    path = write_run(folder, "unet", seed) / "config.yaml"
    content = OmegaConf.load(path)
    OmegaConf.save(OmegaConf.merge(content, {"weights": weights, "name": name}), path)


def test_seeds_that_go_on_from_their_own_first_stage(tmp_path: Path) -> None:
    for seed in range(3):
        tuned(tmp_path / f"tuned{seed}", seed, f"runs/first/{seed}/best.ckpt", "second")
        tuned(tmp_path / f"whole{seed}", seed, None)
    found = [run.choice for run in load_entries([tmp_path])]
    assert found == ["second"] * 3 + ["unet"] * 3


def test_first_stages_with_names_are_compared(tmp_path: Path) -> None:
    for seed in range(2):
        for name in ("a", "b"):
            tuned(tmp_path / f"{name}{seed}", seed, f"runs/{name}/{seed}/best.ckpt", f"from {name}")
    found = [run.choice for run in load_entries([tmp_path])]
    assert found == ["from a", "from a", "from b", "from b"]


def test_sizes_that_runs_of_one_choice_chose_differently_are_said() -> None:
    runs = [
        entry(
            f"{name}{seed}",
            name,
            seed,
            {("WT", "dice"): [0.5, 0.6, 0.7, 0.8]},
            settings={"queue.patch_size": [size], "resolved": ["queue.patch_size"]},
        )
        for name, sizes in (("a", (32, 48)), ("b", (32, 32)))
        for seed, size in enumerate(sizes)
    ]
    said = "Runs of a chose queue.patch_size for themselves, differently: [32], [48]."
    assert check_entries(runs, quick()) == [said]
