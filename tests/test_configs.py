"""Every option of every config group composes, and every value of it reaches its constructor."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

import lightning_brats

CONFIGS = Path(lightning_brats.__file__).parent / "configs"
OPTIONS = [(p.parent.name, p.stem) for p in sorted(CONFIGS.glob("*/*.yaml"))]
OPTIONS = [(group, option) for group, option in OPTIONS if group != "recipe"]  # tests/recipes
AT_CALL = {
    "model": {"in_channels": 4, "out_channels": 3},
    "loss": {"head": "regions"},
}
BUILT_LATER = {"data", "trainer", "tracking", "model"}  # the models have tests of their own


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda v: v)
def test_composes_and_instantiates(group: str, option: str) -> None:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", [f"{group}={option}"])
    part = cfg[group]
    if group not in BUILT_LATER:
        for key in ("patch_size", "batch_size", "workers"):
            if part.get(key) == "auto":
                part[key] = [8, 8, 8] if key == "patch_size" else 1
        built = instantiate(part, _convert_="all", **AT_CALL.get(group, {}))
        assert built is not None or (group, option) == ("augmentation", "none")


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda v: v)
def test_begins_with_what_it_is(group: str, option: str) -> None:
    first = (CONFIGS / group / f"{option}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")


@pytest.mark.parametrize("name", [p.stem for p in CONFIGS.glob("*.yaml") if p.stem != "quiet"])
def test_commands_leave_no_hydra_folders(name: str) -> None:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose(name, return_hydra_config=True)
    assert cfg.hydra.output_subdir is None
    assert cfg.hydra.run.dir == "."


def test_the_default_run_has_no_hidden_interpolations() -> None:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", ["model_name=x"])
    assert OmegaConf.to_container(cfg, resolve=True)["name"] == "x"
