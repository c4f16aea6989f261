"""The gallery of augmentations: everything is in it, and it shows what really happens."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

import lightning_brats
import lightning_brats.data.transforms as ours
from lightning_brats.data.cache import Cache
from lightning_brats.data.entry import CachedCase
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sources import load_cases
from lightning_brats.errors import ConfigError
from lightning_brats.gallery.applying import Applied, apply, places
from lightning_brats.gallery.command import chosen_case, run
from lightning_brats.gallery.items import items
from lightning_brats.gallery.page import path, place
from lightning_brats.gallery.views import Frame, view, view_after
from lightning_brats.gallery.words import said

CONFIGS = Path(lightning_brats.__file__).parent / "configs"
MODALITIES = ("t1n", "t1c", "t2w", "t2f")


def configure(*overrides: str) -> DictConfig:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        return compose("gallery", list(overrides))


def transform(key: str, strength: int):
    (item,) = items(configure(f"only=[{key}]"))
    return list(item.transforms.values())[strength]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("gallery") / "phantom", cases=2, spacing=6.0)


@pytest.fixture(scope="module")
def entry(phantom: Path) -> CachedCase:
    case, _ = load_cases(phantom).cases
    return Cache(phantom.parent / "cache", Preprocess()).get(case)


def test_every_preset_and_every_transform_is_shown() -> None:
    cfg = configure()
    shown = items(cfg)
    presets = {path.stem for path in (CONFIGS / "augmentation").glob("*.yaml")}
    assert {item.key for item in shown if item.preset} == presets - {"none", "custom"}
    wanted = {name for name in ours.__all__ if name.startswith("Random")}
    wanted = {f"lightning_brats.data.transforms.{name}" for name in wanted}
    for preset in cfg.presets.values():
        wanted |= {step["_target_"] for step in preset.get("transforms", {}).values() if step}
    assert {one["transform"]["_target_"] for one in cfg.single.values()} == wanted
    assert all(len(item.transforms) == 3 for item in shown if not item.preset)
    assert all(item.about and item.title for item in shown)


def test_some_of_it_can_be_asked_for() -> None:
    assert [item.key for item in items(configure("only=[blur,standard]"))] == ["standard", "blur"]
    with pytest.raises(ConfigError, match=r"no blurr[\s\S]*standard"):
        items(configure("only=[blurr]"))


def test_a_mirrored_case_is_the_case_mirrored(entry: CachedCase) -> None:
    found = apply(entry, transform("mirror", 1), 0, torch.device("cpu"))
    assert np.array_equal(found.image, np.asarray(entry.image, np.float32)[:, :, ::-1])
    assert np.array_equal(found.mask, np.asarray(entry.mask)[:, ::-1])
    assert found.on_device == 0
    assert not found.warped
    assert said(found.steps, MODALITIES) == "mirrored front–back"


def test_both_ways_to_augment_are_compared(entry: CachedCase) -> None:
    blurred = apply(entry, transform("blur", 2), 0, torch.device("cpu"))
    assert blurred.on_device == 0
    assert said(blurred.steps, MODALITIES) == "blur σ 2.0"
    assert apply(entry, transform("ghosting", 0), 0, torch.device("cpu")).on_device is None
    assert place([0.0, 0.0]).endswith("with equal results")
    assert place([0.0, 0.004]).endswith("equal to within 0.004")
    assert place([0.3]).endswith("differ by up to 0.3")


def test_places_say_where_a_voxel_came_from(entry: CachedCase) -> None:
    size = entry.shape[0]
    moved = places(entry, transform("scaling", 0), 0, axis=0)
    middle = (size - 1) / 2
    # Scaled to 71 %: a voxel d from the middle shows what was 1.4 d from it.
    wanted = middle + 1.4 * (np.arange(size) - middle)
    line = moved[:, entry.shape[1] // 2, entry.shape[2] // 2]
    inside = (wanted > 0) & (wanted < size - 1)
    assert np.abs(line - wanted)[inside].max() <= 0.51  # the nearest voxel
    assert np.isnan(line[[0, -1]]).all()


def test_outlines_lie_around_the_tumour(entry: CachedCase) -> None:
    frame = Frame.of(entry, MODALITIES)
    image, mask = np.asarray(entry.image, np.float32), np.zeros(entry.shape, np.uint8)
    mask[5:9, 4:10, frame.index] = 2
    (line,) = view(frame, image, mask).outlines["WT"]
    x, y = line.T
    width, height = (size * 6.0 for size in entry.shape[:2])
    # The patient's left is on the right, the front on top: both axes run backwards.
    assert (x.min(), x.max()) == (pytest.approx(width - 9 * 6), pytest.approx(width - 5 * 6))
    assert (y.min(), y.max()) == (pytest.approx(height - 10 * 6), pytest.approx(height - 4 * 6))


def test_the_change_is_that_of_the_modality_that_changed_most(entry: CachedCase) -> None:
    frame = Frame.of(entry, MODALITIES)
    image, mask = np.asarray(entry.image, np.float32), np.asarray(entry.mask)
    after = image.copy()
    low, high = frame.limits[2]
    after[2] += 0.125 * (high - low)
    after[1] -= 0.05 * (frame.limits[1][1] - frame.limits[1][0])
    seen = view_after(frame, (image, mask), Applied(after, mask, (), None))
    assert seen.changed == "t2w"
    assert seen.change is not None
    # An eighth of the window is half of the strongest colour, which is that of what got brighter.
    assert np.allclose(255 * seen.change[0, 0], np.array([0xE6, 0x9F, 0x00]) / 2, atol=0.5)


def test_a_moved_mask_shows_the_grid_and_where_it_was(entry: CachedCase) -> None:
    frame = Frame.of(entry, MODALITIES)
    before = np.asarray(entry.image, np.float32), np.asarray(entry.mask)
    turned = transform("rotation", 1)
    found = apply(entry, turned, 0)
    assert found.warped
    seen = view_after(frame, before, found, [places(entry, turned, 0, axis) for axis in (0, 1)])
    assert seen.ghost
    # Lines 1 cm apart over a brain of 14 × 18 cm, each in one piece or a few.
    assert len(seen.grid) >= 20
    longest = max(seen.grid, key=len)
    slope = np.degrees(np.arctan2(*(longest[-1] - longest[0])[::-1])) % 90
    assert min(abs(slope - 30), abs(slope - 60)) < 3


def test_words_say_what_was_drawn() -> None:
    steps = (
        ("MarkBrain", {}),
        ("Warp", {"degrees": (0, -12.4, 3), "scaling": 1.25, "control_points": None}),
        ("GaussianBlur", {"std": {"image": [None, (0.8, 0.7, 0.5), None, (0.8, 0.7, 0.5)]}}),
        ("Contrast", {"factor": {"image": [0.8, 1.2, 0.9, 1.1]}}),
        ("ClearBackground", {}),
    )
    assert said(steps, MODALITIES) == (
        "turned by 0/−12/3°, scaled to 80 %, blur σ 0.8 (T1 with contrast, FLAIR), "
        "contrast × 0.80 to × 1.20"
    )
    assert said((), MODALITIES) == "nothing"


def test_paths_are_svg() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1]])
    assert path([square], True) == "M0.0 0.0L1.0 0.0L1.0 1.0z"
    assert path([square[:1]], False) == ""


def test_a_page_of_its_own(phantom: Path, tmp_path: Path) -> None:
    page = run(
        configure(
            f"output={tmp_path}",
            "only=[flips,noise]",
            "draws=2",
            f"data.root={phantom}",
            "png=true",
        )
    )
    text = page.read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert len(re.findall(r'<div class="row">', text)) == 2 + 3
    assert "with equal results" in text
    assert "BraTS2021_00000" in text
    assert {path.name for path in tmp_path.glob("*.png")} == {"flips.png", "noise.png"}


def test_a_case_by_its_name(phantom: Path) -> None:
    source = load_cases(phantom)
    assert chosen_case(source, None).case == "BraTS2021_00000"
    assert chosen_case(source, "BraTS2021_00001").case == "BraTS2021_00001"
    with pytest.raises(ConfigError, match=r"no case x[\s\S]*BraTS2021_00000, BraTS2021_00001"):
        chosen_case(source, "x")
