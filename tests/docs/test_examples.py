"""Examples of the documentation: every command composes, every block of Python runs."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml
from doc_pages import EVERY, PAGES, ROOT, Block, blocks, write_files
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_brats.parts import plain
from lightning_brats.sweeps.plan import Plan

LANGUAGES = {"bash", "python", "yaml", "text", "toml"}
NOT_RUN = {
    "installs an environment": 1,
    "needs BraTS data": 3,
    "needs raw scans": 2,
    "needs several GPUs": 2,
    "needs several hosts": 1,
    "needs SLURM": 3,
    "needs a database": 3,
    "needs a W&B account": 2,
    "needs another program": 1,
    "trains for hours": 2,
    "trains for an hour": 2,
    "trains for half an hour": 4,
    "trains for minutes, or needs a data set": 1,
    "serves until stopped": 1,
}
"""Blocks of commands that no test runs: why, and how many. Their overrides are checked all the
same."""
OWN_CELLS = ("--config-dir", "grid", "+set")
"""Words after which a sweep is not a shipped one, whose cells have a test of their own."""
SEEN: set[str] = set()
"""Overrides of cells that composed."""
BASH = [block for block in EVERY if block.language == "bash"]
WITH_PYTHON = [
    page
    for page in PAGES
    if page.parent != ROOT and any(block.language == "python" for block in blocks(page))
]
TRAINING = "from_python.md"
"""Trains a network: a few seconds."""


def test_languages_are_named() -> None:
    ours = [block for block in EVERY if block.page.parent != ROOT]
    assert {block.language for block in ours} <= LANGUAGES


def test_what_is_not_run_is_counted() -> None:
    marked = [block for block in BASH if block.page.parent != ROOT and block.reason]
    assert Counter(block.reason for block in marked) == NOT_RUN


@pytest.mark.parametrize("block", BASH, ids=lambda block: block.name)
def test_commands_compose(block: Block, tmp_path: Path) -> None:
    write_files(block.page, tmp_path)
    for script, *words in block.commands():
        assert (ROOT / script).exists()
        if "--help" not in words:
            composed(script, words, tmp_path)


def composed(script: str, words: list[str], folder: Path) -> None:
    """Compose and resolve a command's configuration; of a sweep, all its cells."""
    module, name = configured(ROOT / script)
    places = [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]
    own = [word.replace("…", "x") for word in words if not word.startswith(("--", "hydra"))]
    overrides = [first(word) for word in own]
    if places:
        overrides.append(f"hydra.searchpath=[file://{folder / places[0]}]")
    with initialize_config_module(module, version_base="1.3"):
        cfg = compose(name, overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        cfg.pop("hydra")
    OmegaConf.to_container(cfg, resolve=True)
    if module.endswith("sweeps.configs") and any(word.startswith(OWN_CELLS) for word in words):
        checked(cfg)


def checked(cfg: DictConfig) -> None:
    """A sweep that could begin: each override of its cells composes in one of them."""
    plan = Plan(plain(cfg))
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        for cell in plan.cells if plan.space is None else [plan.complete()]:
            if not SEEN.issuperset(cell):
                compose("run", cell)
                SEEN.update(cell)


def configured(script: Path) -> tuple[str, str]:
    """Module and name of a command's configuration."""
    text = script.read_text()
    (name,) = re.findall(r'config_name="(\w+)"', text)
    own = re.search(r'^CONFIGS = "pkg://([\w.]+)"', text, re.MULTILINE)
    return own[1] if own else "lightning_brats.configs", name


def first(word: str) -> str:
    """An override; of `--multirun`'s `seed=0,1,2` the first value."""
    parsed = OverridesParser.create().parse_override(word)
    if not parsed.is_sweep_override():
        return word
    return f"{parsed.key_or_group}={next(parsed.sweep_string_iterator())}"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=pytest.mark.slow if page.name == TRAINING else ())
        for page in WITH_PYTHON
    ],
)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "example"}
    for block in blocks(page):
        if block.language == "python":
            code = compile(block.text, block.name, "exec")
            if "title" in block.options:
                exec(code, {"__name__": "a_module"})  # a file: it can be imported
            else:
                exec(code, namespace)


@pytest.mark.parametrize("block", [b for b in EVERY if b.language == "yaml"], ids=lambda b: b.name)
def test_yaml_is_yaml(block: Block) -> None:
    assert yaml.safe_load(block.text)


def test_make_targets_and_extras_exist() -> None:
    text = "\n".join(block.text for block in BASH)
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in re.findall(r"'\.\[([\w,]+)\]'", "\n".join(p.read_text() for p in PAGES)):
        assert set(extra.split(",")) <= set(extras["optional-dependencies"])


def test_modules_that_are_run_exist() -> None:
    for module in re.findall(r"python -m (lightning_brats[\w.]*)", "\n".join(b.text for b in BASH)):
        place = ROOT / Path(*module.split("."))
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


def test_the_examples_are_found() -> None:
    """That nothing above passes because it looked at nothing."""
    assert sum(len(list(block.commands())) for block in BASH) > 30
    assert {"from_python.md", "metrics.md", "new_loss.md"} <= {page.name for page in WITH_PYTHON}
