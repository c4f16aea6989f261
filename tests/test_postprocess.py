"""Post-processing of hand-made probabilities."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from scipy import ndimage

import lightning_brats
from lightning_brats.errors import ConfigError
from lightning_brats.labels import ET, NETC, RC, SNFH
from lightning_brats.postprocess import (
    Closing,
    DropSmall,
    FillHoles,
    Hierarchy,
    KeepLargest,
    Opening,
    Postprocess,
    ReplaceSmallET,
)

REGIONS = ("WT", "TC", "ET")
MM = (1.0, 1.0, 1.0)
CONFIGS = Path(lightning_brats.__file__).parent / "configs"


def line(*rows: list[float]) -> np.ndarray:
    """Probabilities (K, X, 1, 1) along one axis."""
    return np.array(rows, np.float32)[..., None, None]


def on_line(post: Postprocess, *rows: list[float], regions: tuple[str, ...] = REGIONS) -> list[int]:
    return post(line(*rows), MM, regions, "regions").ravel().tolist()


def mask(text: str) -> np.ndarray:
    """A (X, 1, 1) mask, `#` in and `.` out."""
    return np.array([c == "#" for c in text])[:, None, None]


def text(found: np.ndarray) -> str:
    assert found.dtype == bool
    return "".join("#" if value else "." for value in found.ravel())


def test_thresholds_and_composition() -> None:
    rows = [0.9, 0.9, 0.9, 0.2, 0.5], [0.1, 0.9, 0.9, 0.2, 0.5], [0.1, 0.1, 0.9, 0.6, 0.5]
    assert on_line(Postprocess(), *rows) == [SNFH, NETC, ET, ET, 0]
    assert on_line(Postprocess(threshold=0.95), *rows) == [0] * 5
    by_region = Postprocess(threshold={"ET": 0.7, "WT": 0.4})
    assert on_line(by_region, *rows) == [SNFH, NETC, ET, 0, SNFH]


def test_cavity_lies_only_where_no_tumour_is() -> None:
    rows = [0.9, 0.1, 0.1], [0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [0.9, 0.9, 0.1]
    assert on_line(Postprocess(), *rows, regions=(*REGIONS, "RC")) == [SNFH, RC, 0]


def test_labels_head_takes_the_most_probable_label() -> None:
    # Second voxel: every tissue loses to background, though together they are likelier.
    p = line([0.1, 0.4, 0.3], [0.2, 0.2, 0.3], [0.3, 0.2, 0.0], [0.4, 0.2, 0.4])
    assert Postprocess()(p, MM, REGIONS, "labels").ravel().tolist() == [ET, 0, ET]
    # With a threshold, labels are summed to regions: whole tumour .9 .6 .7, core .6 .4 .7.
    assert Postprocess(threshold=0.5)(p, MM, REGIONS, "labels").ravel().tolist() == [
        NETC,
        SNFH,
        NETC,
    ]


def test_empty_prediction_stays_empty() -> None:
    post = Postprocess([DropSmall(5), FillHoles(), Closing(2), KeepLargest(), Hierarchy()])
    labels = post(np.zeros((3, 4, 5, 6), np.float16), MM, REGIONS, "regions")
    assert labels.shape == (4, 5, 6)
    assert labels.dtype == np.uint8
    assert not labels.any()


def test_drop_small_counts_voxels_or_volume() -> None:
    masks = {"WT": mask("###.##.#"), "ET": mask("#.##....")}
    assert text(DropSmall(2, "voxels")(masks, MM)["WT"]) == "###.##.."
    assert text(DropSmall(3, "voxels")(masks, MM)["WT"]) == "###....."
    # Voxels of 1 × 2 × 3 = 6 mm³: 12 mm³ are two of them, 12.5 mm³ are three.
    assert text(DropSmall(12)(masks, (1, 2, 3))["WT"]) == "###.##.."
    assert text(DropSmall(12.5)(masks, (1, 2, 3))["WT"]) == "###....."
    named = DropSmall({"ET": 2, "RC": 9}, "voxels")(masks, MM)
    assert (text(named["WT"]), text(named["ET"])) == ("###.##.#", "..##....")
    assert set(named) == {"WT", "ET"}


def test_components_touch_at_corners() -> None:
    diagonal = np.zeros((4, 4, 4), bool)
    diagonal[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = True
    assert DropSmall(3, "voxels")({"WT": diagonal}, MM)["WT"].sum() == 3


def test_keep_largest() -> None:
    masks = {"WT": mask("##.###.#"), "TC": mask("##.###.#")}
    once = KeepLargest()(masks, MM)
    assert (text(once["WT"]), text(once["TC"])) == ("...###..", "##.###.#")
    assert text(KeepLargest(("WT",), 2)(masks, MM)["WT"]) == "##.###.."


def test_holes_are_filled_where_enclosed_on_all_sides() -> None:
    shell = np.ones((5, 5, 5), bool)
    shell[2, 2, 2] = False
    assert FillHoles()({"WT": shell}, MM)["WT"].all()
    shell[2, 2, 3:] = False  # a channel to the outside
    filled = FillHoles(("WT",))({"WT": shell, "TC": shell}, MM)
    assert np.array_equal(filled["WT"], shell)
    random = np.random.default_rng(0).random((12, 13, 14)) < 0.7
    assert np.array_equal(FillHoles()({"WT": random}, MM)["WT"], ndimage.binary_fill_holes(random))


def test_opening_and_closing() -> None:
    masks = {"WT": mask("..#...####.##..")}
    # On a line the ball of 1 mm needs three voxels in a row, in all three axes: pad the others.
    cube = {"WT": np.broadcast_to(masks["WT"], (15, 3, 3)).copy()}
    assert text(Closing(1)(cube, MM)["WT"][:, 1, 1]) == "..#...#######.."
    assert text(Closing(1)(cube, (2, 2, 2))["WT"][:, 1, 1]) == "..#...####.##.."
    opened = Opening(1)({"WT": np.pad(cube["WT"], 3, mode="edge")}, MM)["WT"][3:-3, 4, 4]
    assert text(opened) == "......####....."


def test_closing_keeps_what_touches_the_border() -> None:
    corner = np.zeros((8, 8, 8), bool)
    corner[:4, :4, :4] = True
    assert (Closing(2)({"WT": corner}, MM)["WT"] & corner).sum() == 64


def test_ball_is_round_in_millimetres() -> None:
    point = np.zeros((9, 9, 9), bool)
    point[4, 4, 4] = True
    sphere = ndimage.distance_transform_edt(~point, sampling=(1, 0.5, 2)) <= 2
    kept = Opening(2)({"WT": sphere}, (1, 0.5, 2))["WT"]
    assert np.array_equal(kept, sphere)
    sphere[4, 4, 5] = False
    assert not Opening(2)({"WT": sphere}, (1, 0.5, 2))["WT"].any()


def test_hierarchy_clips_instead_of_widening() -> None:
    rows = [0.9, 0.9, 0.1, 0.9], [0.9, 0.1, 0.9, 0.9], [0.9, 0.9, 0.9, 0.1]
    assert on_line(Postprocess(), *rows) == [ET, ET, ET, NETC]
    assert on_line(Postprocess([Hierarchy()]), *rows) == [ET, SNFH, 0, NETC]


def test_little_enhancing_tumour_becomes_core() -> None:
    rows = [0.9] * 5, [0.1, 0.9, 0.9, 0.9, 0.1], [0.1, 0.9, 0.1, 0.9, 0.1]
    enough, too_little = Postprocess([ReplaceSmallET(2)]), Postprocess([ReplaceSmallET(3)])
    assert on_line(enough, *rows) == [SNFH, ET, NETC, ET, SNFH]
    assert on_line(too_little, *rows) == [SNFH, NETC, NETC, NETC, SNFH]
    volume = Postprocess([ReplaceSmallET(5, "mm3")])(line(*rows), (1, 1, 3), REGIONS, "regions")
    assert volume.ravel().tolist() == [SNFH, ET, NETC, ET, SNFH]
    dropped = on_line(too_little, *rows[1:], regions=("WT", "ET"))  # no core to take it in
    assert dropped == [0, SNFH, SNFH, SNFH, 0]


def test_steps_run_in_order_and_away_from_the_crop() -> None:
    p = np.zeros((3, 20, 20, 20), np.float32)
    p[0, 5:12, 5:12, 5:12] = 1
    p[0, 8, 8, 8] = 0
    p[1, 6:9, 6:9, 6:9] = 1
    p[2, 15, 15, 15] = 1
    post = Postprocess([FillHoles(["WT"]), DropSmall({"ET": 2}, "voxels"), Hierarchy()])
    labels = post(p, MM, REGIONS, "regions")
    assert ((labels == SNFH).sum(), (labels == NETC).sum()) == (7**3 - 27, 27)
    assert labels[15, 15, 15] == 0


@pytest.mark.parametrize(
    ("option", "kinds"),
    [
        ("none", []),
        ("default", [DropSmall, Hierarchy]),
        ("brats", [DropSmall, FillHoles, Hierarchy, ReplaceSmallET]),
    ],
)
def test_configs_build_and_survive_storage(option: str, kinds: list[type]) -> None:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(overrides=[f"+postprocess={option}"]).postprocess
    post = instantiate(config)
    assert [type(step) for step in post.steps] == kinds
    stored = json.loads(json.dumps(post.to_dict()))
    assert Postprocess.from_dict(stored) == post
    assert instantiate(stored) == post


def test_bad_settings() -> None:
    for bad in (
        lambda: Postprocess(threshold=1.5),
        lambda: Postprocess(threshold={"TC": -0.1}),
        lambda: Postprocess(threshold={"tumour": 0.5}),
        lambda: DropSmall({"tumour": 5}),
        lambda: DropSmall(5, "mm"),
        lambda: FillHoles(["tumour"]),
        lambda: Postprocess.from_dict({"steps": [{"_target_": "os.system", "command": "x"}]}),
        lambda: Postprocess([lambda masks, spacing: masks]).to_dict(),
        lambda: Postprocess()(np.zeros((2, 3, 3, 3)), MM, REGIONS, "regions"),
        lambda: Postprocess()(np.zeros((4, 3, 3, 3)), MM, (*REGIONS, "RC"), "labels"),
        lambda: Postprocess()(np.zeros((3, 3, 3, 3)), MM, REGIONS, "sigmoid"),
    ):
        with pytest.raises(ConfigError):
            bad()
