"""Every recipe composes, says what it is, and differs at full size in size alone."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from omegaconf import OmegaConf
from recipe_parts import FOLDER, NAMES, OURS, PRIOR, composed, composed_run, header

from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.placement import slice_limits
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.queue import QueueSettings
from lightning_brats.data.reading import read_case
from lightning_brats.data.sources import load_cases
from lightning_brats.experiment import PARTS
from lightning_brats.parts import build, check_arguments, plain
from lightning_brats.runs import flat

SIZE = (
    "data.phantom.spacing",
    "preprocess.margin",
    "preprocess.raw.bias",
    "queue.patch_size",
    "queue.patches_per_volume",
    "queue.slices",
    "model.size",
    "model.widths",
    "trainer.",
)
"""In what a recipe may differ at full size."""
MEANS = ("optimizer.", "augmentation.")
"""In what our own may differ too: means are chosen for the length of the training."""
SLOWER = {"brats2020_slices", "msd_unet2d", "msd_attention_unet2d", "msd_residual_unet2d"}
"""Systems whose networks learn at a tenth of the rate at full size."""
EXCEPT = {name: {"optimizer.lr"} for name in SLOWER} | {"pipeline_guide": {"postprocess.steps"}}
"""What else differs: in the guide's morphology the radii, which are a voxel."""
CODES = {
    "brats2020": {1: 1, 2: 2, 4: 3},
    "brats2021": {1: 1, 2: 2, 4: 3},
    "msd": {1: 2, 2: 1, 3: 3},
    "brats2024-gli": {1: 1, 2: 2, 3: 3, 4: 4},
}
"""File value → 1 core, 2 oedema, 3 enhancing, 4 cavity, from the data sets' descriptions."""


def test_all_systems_are_there() -> None:
    wanted = {"pipeline_guide", "brats2024_fcnn", "brats2024_unet", "brats2024_residual_unet"}
    wanted |= {"brats2020_slices", "msd_unet2d", "msd_attention_unet2d", "msd_residual_unet2d"}
    assert wanted | {"brats2020_unet3d_144"} == set(PRIOR)
    assert set(NAMES) >= OURS
    assert sorted(path.stem for path in (FOLDER / "full").glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_its_header_says_what_to_type_and_what_was_put_right(name: str) -> None:
    text = header(name)
    assert f": python experiments/run.py +recipe={name}\n" in text
    assert f"python experiments/run.py +recipe=full/{name} data.root=/path/to/" in text
    assert "Cost: " in text
    assert ("Put right" in text) == (name in PRIOR)


@pytest.mark.parametrize("name", NAMES)
def test_its_parts_can_be_built(name: str) -> None:
    for full in ("", "full/"):
        cfg = composed(full + name)
        assert cfg.name == name
        queue = plain(cfg.queue) | {"workers": 0}
        settings = build(queue)
        assert isinstance(settings, QueueSettings)
        assert (1 in settings.patch_size) == (cfg.model.get("spatial_dims", 3) == 2)
        assert isinstance(build(cfg.preprocess), Preprocess)
        build(cfg.augmentation)
        build(cfg.postprocess)
        build(plain(cfg.loss), head=cfg.head)
        assert cfg.split.validation > 0
        assert cfg.split.test > 0


@pytest.mark.parametrize("name", NAMES)
def test_full_size_is_larger_and_nothing_else(name: str) -> None:
    small, full = (flat(composed(prefix + name)) for prefix in ("", "full/"))
    changed = {key for key in small.keys() | full.keys() if small.get(key) != full.get(key)}
    allowed = SIZE + (MEANS if name in OURS else ())
    others = {key for key in changed if not key.startswith(allowed)}
    assert others == EXCEPT.get(name, set())
    assert full["data.phantom.spacing"] == 1.0
    volumes = [np.prod(own["queue.patch_size"]) for own in (small, full)]
    assert volumes[1] >= 9 * volumes[0]


def test_the_guide_s_morphology_differs_in_its_radii_alone() -> None:
    small, full = (
        plain(composed(f"{prefix}pipeline_guide").postprocess)["steps"] for prefix in ("", "full/")
    )
    assert [step.pop("radius", None) for step in small] == [3.0, 3.0, None, None, None]
    assert [step.pop("radius", None) for step in full] == [1.0, 1.0, None, None, None]
    assert small == full


def test_slices_22_to_121_of_155() -> None:
    small, full = (composed(prefix + "brats2020_slices").queue.slices for prefix in ("", "full/"))
    assert slice_limits(155, tuple(small)) == (22, 122)
    assert slice_limits(155, tuple(full)) == (22, 122)
    assert slice_limits(52, tuple(small)) == (7, 41)  # voxels of 3 mm: from 21 to 123 mm


@pytest.mark.parametrize("name", PRIOR)
def test_what_makes_each_system_what_it_was(name: str) -> None:
    cfg = composed(name)
    known: dict[str, dict[str, Any]] = {
        "pipeline_guide": {"split.validation": 0.15, "split.test": 0.15, "head": "regions"},
        "brats2024": {"preprocess.clip": [2.5, 97.5], "head": "labels"},
        "brats2020_slices": {"split.validation": 0.2, "split.test": 0.12},
        "msd": {"queue.tumour_only": True, "preprocess.margin": 0, "preprocess.clip": None},
        "brats2020_unet3d_144": {
            "data.modalities": ["t2f", "t1c", "t2w"],
            "optimizer.lr": 1e-3,
            "queue.batch_size": 2,
            "trainer.max_epochs": 30,
            "preprocess.normalisation": "zscore",
        },
    }
    (wanted,) = (value for key, value in known.items() if name.startswith(key))
    found = flat(cfg)
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", ["pipeline_guide", "brats2020_unet3d_144"])
def test_bias_fields_are_corrected_at_full_size(name: str) -> None:
    assert composed(f"full/{name}").preprocess.raw.bias == "n4"


def test_msd_changes_intensities_alone() -> None:
    steps = plain(composed("msd_unet2d").augmentation)["transforms"]
    assert {name for name, step in steps.items() if step} == {
        "noise",
        "brightness",
        "contrast",
        "gamma",
    }


@pytest.mark.parametrize(
    ("name", "other"),
    [
        *[("pipeline_guide", f"loss={loss}") for loss in ("focal", "weighted_ce", "dice")],
        *[("pipeline_guide", f"optimizer={way}") for way in ("rmsprop", "sgd")],
        ("brats2020_slices", "loss=weighted_ce"),
        ("brats2020_slices", "loss=dice"),
        ("best", "loss=ce"),
        ("msd_unet2d", "augmentation=none"),
        ("brats2024_unet", "augmentation=flips"),
    ],
)
def test_other_choices_take_the_place_of_its_own(name: str, other: str) -> None:
    cfg = composed(name, other)
    check_arguments(cfg, PARTS)
    group, choice = other.split("=")
    alone = plain(composed_run(other)[group])
    assert plain(cfg[group]) | {"lr": None} == alone | {"lr": None}, choice


def test_msd_can_be_asked_whether_geometry_hurts() -> None:
    chosen = build(composed("msd_unet2d", "augmentation=flips").augmentation)
    assert [step.name for step in chosen] == ["RandomMirror"]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("layouts")
    return {name: write_phantom(base / name, name, cases=1, spacing=8.0) for name in CODES}


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_its_layout_become_the_internal_ones(
    name: str, phantoms: dict[str, Path]
) -> None:
    cfg = composed(name)
    layout = cfg.data.phantom.layout
    arguments = OmegaConf.to_container(cfg.data, resolve=True)
    assert isinstance(arguments, dict)
    wanted = arguments["modalities"]
    source = load_cases(root=phantoms[layout], modalities=wanted)
    assert source.modalities == tuple(wanted or ("t1n", "t1c", "t2w", "t2f"))
    case = source.cases[0]
    assert case.mask is not None
    stored = np.rint(np.asarray(nib.load(case.mask).dataobj)).astype(int)
    assert set(np.unique(stored)) == {0, *CODES[layout]}
    expected = sum(label * (stored == value) for value, label in CODES[layout].items())
    volume = read_case(case)
    assert volume.mask is not None
    assert np.array_equal(volume.mask, expected)
    only_space = build(plain(cfg.preprocess) | {"raw": {}})
    prepared = only_space(case, volume)
    assert set(np.unique(prepared.mask)) == {0, *CODES[layout].values()}
    back = prepared.geometry.restore(prepared.mask)
    assert back.shape == stored.shape
    assert np.array_equal(case.scheme.encode(back)[back > 0], stored[back > 0])
