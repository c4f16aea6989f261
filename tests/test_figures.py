"""Sides are checked on rendered pixels of volumes built from world coordinates, in any storage."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from lightning_brats.errors import DataError
from lightning_brats.evaluation.reliability import Calibration
from lightning_brats.figures import REGION_COLOURS, case_panel, save_png
from lightning_brats.figures.confidence import (
    calibration_chart,
    confidence_still,
    dice_chart,
    risk_chart,
)
from lightning_brats.figures.errors import profile_chart, profile_still
from lightning_brats.figures.interactive import dice_curve, score_strip
from lightning_brats.figures.planes import bounding_box, to_ras, widest_slices
from lightning_brats.figures.plots import learning_curves, score_strips, validated_regions
from lightning_brats.figures.style import FALSE, MISSED
from lightning_brats.labels import ET, NETC, RC, REGIONS, SNFH

LEFT_FRONT_TOP = (-16.0, 20.0, 14.0)  # mm in RAS+: left is where x is negative


def stored(orientation: str, spacing: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Affine of a 40-voxel cube centred on the origin, and its voxels' RAS+ positions (3, …)."""
    wanted = nib.orientations.axcodes2ornt(tuple(orientation))
    ras = np.diag([spacing] * 3 + [1.0])
    ras[:3, 3] = -spacing * 19.5
    affine = ras @ nib.orientations.inv_ornt_aff(wanted, (40, 40, 40))
    grid = np.indices((40, 40, 40)).reshape(3, -1)
    return affine, (affine[:3, :3] @ grid + affine[:3, 3:]).reshape(3, 40, 40, 40)


def head(orientation: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dim ball with one bright spot to the left, front and top: image, labels, affine."""
    affine, world = stored(orientation)
    ball = (world**2).sum(0) < 36**2
    spot = sum((w - c) ** 2 for w, c in zip(world, LEFT_FRONT_TOP, strict=True)) < 7**2
    image = np.where(spot, 100.0, np.where(ball, 30.0, 0.0))
    return image[None].astype(np.float32), np.where(spot, ET, 0).astype(np.uint8), affine


def bright_centre(figure: Figure, number: int) -> np.ndarray:
    """Centre of a cell's white pixels, from 0 (left, bottom) to 1 (right, top) of its image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].min(-1)
    axes = figure.axes[number]
    box = axes.images[0].get_window_extent()
    inside = pixels[::-1][int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
    rows, columns = np.nonzero(inside > 200)
    assert rows.size
    return np.array([columns.mean() / inside.shape[1], rows.mean() / inside.shape[0]])


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LAS", "PSR", "SLA"])
def test_left_is_right_and_front_is_up_in_any_storage_order(orientation):
    image, labels, affine = head(orientation)
    figure = case_panel(image, ["t2f"], None, labels, affine)
    for axes in figure.axes:  # letters and lines must not count as bright
        for artist in [*axes.texts, *axes.lines, *axes.collections]:
            artist.remove()
    axial, coronal, sagittal = (bright_centre(figure, i) for i in range(3))
    assert axial[0] > 0.6  # the patient's left
    assert axial[1] > 0.6  # front
    assert coronal[0] > 0.6
    assert coronal[1] > 0.6  # top
    assert sagittal[0] < 0.4  # looks to the left
    assert sagittal[1] > 0.6


def test_the_sides_are_written_where_they_are():
    image, labels, affine = head("LPS")
    figure = case_panel(image, ["t2f"], None, labels, affine)
    axial = {text.get_text(): text.get_position()[0] for text in figure.axes[0].texts}
    sagittal = {text.get_text(): text.get_position()[0] for text in figure.axes[2].texts}
    assert axial["R"] < 0.5 < axial["L"]
    assert sagittal["A"] < 0.5 < sagittal["P"]


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PSR"])
def test_to_ras_keeps_every_voxel_at_its_place(orientation):
    affine, world = stored(orientation)
    turned, new_affine = to_ras(world, affine)
    assert nib.aff2axcodes(new_affine) == ("R", "A", "S")
    for voxel in ((0, 0, 0), (5, 17, 39)):
        np.testing.assert_allclose(
            turned[(slice(None), *voxel)], (new_affine @ [*voxel, 1])[:3], atol=1e-9
        )


def test_widest_slices_and_box_by_hand():
    mask = np.zeros((6, 7, 8), bool)
    mask[2, 3, 4] = mask[2, 4, 4] = mask[2, 4, 5] = mask[3, 4, 4] = True
    assert widest_slices(mask) == (2, 4, 4)
    assert bounding_box(mask, np.array([1, 0, 9])) == (slice(1, 5), slice(3, 5), slice(0, 8))


def test_the_slice_shown_is_the_one_with_most_reference():
    image, _, affine = head("RAS")
    reference, prediction = np.zeros((2, 40, 40, 40), np.uint8)
    reference[10:14, 10:14, 25] = SNFH
    reference[10, 10, 26] = SNFH
    prediction[5:30, 5:30, 12] = SNFH
    figure = case_panel(image, ["t2f"], reference, prediction, affine)
    assert "z = 11 mm" in figure.axes[0].get_title("left")  # 2 mm · (25 − 19.5)


def test_errors_are_counted_and_coloured_as_by_hand():
    image, _, affine = head("RAS")
    reference, prediction = np.zeros((2, 40, 40, 40), np.uint8)
    reference[10:20, 10:20, 20] = SNFH
    prediction[12:20, 10:23, 20] = SNFH
    figure = case_panel(image, ["t2f"], reference, prediction, affine)
    (cell,) = (axes for axes in figure.axes if axes.get_title("left").startswith("WT errors"))
    overlay = np.asarray(cell.images[1].get_array())
    missed, false = (
        np.isclose(overlay, to_rgba(colour, 0.95)).all(-1).sum() for colour in (MISSED, FALSE)
    )
    assert (missed, false) == (2 * 10, 8 * 3)


def test_anisotropic_voxels_keep_their_proportions():
    image = np.full((1, 40, 40, 10), 50.0, np.float32)
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    figure = case_panel(image, ["t1c"], None, np.zeros((40, 40, 10), np.uint8), affine)
    for axes in figure.axes:
        left, right, bottom, top = axes.images[0].get_extent()
        assert (right - left, top - bottom) == (40, 40)
        assert axes.get_aspect() in (1, "equal")


@pytest.mark.parametrize(("given", "cells"), [("both", 4 + 2 + 4), ("prediction", 6), ("none", 6)])
def test_cells_follow_what_is_known(given, cells, tmp_path):
    image, labels, affine = head("LPS")
    labels[0, 0, 0], labels[0, 0, 1] = NETC, RC
    reference = labels if given == "both" else None
    prediction = None if given == "none" else labels
    names = ["t1n", "t1c", "t2w", "t2f"]
    figure = case_panel(image.repeat(4, 0), names, reference, prediction, affine, "$odd {name")
    assert len(figure.axes) == cells
    labels_shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert ("missed" in labels_shown) == (given == "both")
    assert ("RC resection cavity" in labels_shown) == (given != "none")
    path = save_png(figure, tmp_path / "figures" / "panel.png", dpi=30)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_window_ignores_what_lies_outside_the_brain():
    affine, world = stored("RAS")
    brain = (np.abs(world) < 20).all(0)
    image = np.where(brain, world[0], -9000.0)[None]  # as some scans: far below zero outside
    figure = case_panel(image, ["t1c"], None, None, affine, brain=brain)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    middle = shown[len(shown) // 2]
    assert shown[0].max() == 0.0  # the margin around the brain
    # From the patient's right to left, x falls evenly from white to black, then there is air.
    np.testing.assert_allclose(np.diff(middle[4:22]), -2 / 38, atol=5e-3)
    assert middle[3:23].max() == 1.0


def test_what_is_predicted_outside_the_brain_is_shown():
    image, labels, affine = head("RAS")
    brain = np.zeros(labels.shape, bool)
    brain[10:30, 10:30, 10:30] = True
    labels[:] = 0
    labels[38:40, 20, 20] = ET
    figure = case_panel(image, ["t2f"], None, labels, affine, brain=brain)
    # From 3 voxels (6 mm) beside the brain to the volume's edge: 7 to 39, 2 mm each.
    assert figure.axes[0].images[0].get_extent()[1] == 66.0


def test_shapes_that_do_not_agree_are_refused():
    image, labels, affine = head("RAS")
    with pytest.raises(DataError, match="prediction has shape"):
        case_panel(image, ["t2f"], labels, labels[1:], affine)
    with pytest.raises(DataError, match="does not go with modalities"):
        case_panel(image, ["t1c", "t2f"], labels, None, affine)


def test_every_region_has_its_own_colour():
    assert set(REGION_COLOURS) == set(REGIONS)
    assert len(set(REGION_COLOURS.values())) == len(REGIONS)


def history() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "train/loss": [1.0, 0.5, 0.4],
            "val/dice_WT": [np.nan, 0.7, np.nan],
            "val/dice_TC": [np.nan] * 3,
            "val/dice_mean": [np.nan, 0.7, np.nan],
        }
    )


def scores() -> pd.DataFrame:
    values = {"a": 2.0, "<b>bold</b>": np.inf, "c": 4.0}
    return pd.DataFrame(
        [{"case": c, "region": "WT", "metric": "hd95", "value": v} for c, v in values.items()]
    )


def test_curves_show_validated_regions_alone():
    assert validated_regions(history()) == ["WT"]
    loss, dice = learning_curves(history()).axes
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[0, 1], [1, 0.5], [2, 0.4]])
    np.testing.assert_array_equal(dice.lines[0].get_xydata(), [[1, 0.7]])
    (trace,) = dice_curve(history(), best_epoch=1).data
    assert (list(trace.x), list(trace.y), trace.name) == ([1], [0.7], "WT")


def test_infinite_distances_are_counted_not_drawn():
    (trace,) = score_strip(scores(), ["WT"], "hd95").data
    assert sorted(trace.y) == [2.0, 4.0]
    assert trace.name == "WT<br>1 infinite"
    still = score_strips(scores(), ["WT"]).axes[1]
    assert still.get_xticklabels()[0].get_text() == "WT\n1 infinite"
    assert sorted(still.collections[0].get_offsets()[:, 1]) == [2.0, 4.0]


def test_names_of_cases_are_not_markup_in_charts():
    table = scores().replace({"value": {np.inf: 3.0}})
    (trace,) = score_strip(table, ["WT"], "hd95").data
    assert "&lt;b&gt;bold&lt;/b&gt;" in trace.text


def profile(**shares: float) -> np.ndarray:
    """41 bins of 1 mm: `at_2=0.5` or `minus_3=0.5`, as in the evaluation's tables."""
    values = np.zeros(41)
    for name, share in shares.items():
        side, place = name.split("_")
        values[20 + (-1 if side == "minus" else 1) * int(place)] = share
    return values


def test_a_short_axis_collects_what_is_beyond():
    shares = {"WT": profile(minus_20=0.1, minus_4=0.1, at_0=0.5, at_6=0.02, at_20=0.28)}
    figure = profile_chart(shares)
    (trace,) = figure.data
    # Only 2 % would come apart on a longer axis, so it ends at 5 mm; the outermost bins are open.
    assert list(trace.customdata) == [-5, *range(-5, 6), 5]
    assert list(trace.y[1:-1]) == pytest.approx([10, 10, 0, 0, 0, 50, 0, 0, 0, 0, 30])
    assert figure.layout.xaxis.ticktext[0] == "≤ −5"
    assert figure.layout.xaxis.ticktext[-1] == "≥ 5"
    (still,) = profile_still(shares).axes
    assert still.patches[0].get_data().values.sum() == pytest.approx(100)


def test_the_axis_grows_where_there_is_something_to_see():
    shares = {"WT": profile(at_0=1.0), "ET": profile(at_0=0.5, at_8=0.5)}
    figure = profile_chart(shares)
    assert len(figure.data[0].x) == len(figure.data[1].x) == 2 * 10 + 1 + 2
    assert "−20" in profile_chart({"WT": profile(at_0=0.5, at_17=0.5)}).layout.xaxis.ticktext[0]


def pairs() -> pd.DataFrame:
    rows = {"case": ["<b>a</b>", "c"], "region": "WT", "predicted": [0.9, 0.6], "true": [0.8, 0.7]}
    return pd.DataFrame(rows)


def test_calibration_and_risk_charts_draw_the_numbers():
    measured = {
        "WT": Calibration(np.array([10.0, 0, 4]), np.array([1.0, 0, 3]), np.array([2.0, 0, 4]))
    }
    _, line = calibration_chart(measured).data
    assert (list(line.x), list(line.y)) == ([0.1, 0.75], [0.2, 1.0])
    assert line.name == "WT, ECE 0.143"  # (|1 − 2| + |3 − 4|) / 14
    by_dice, best, chance = risk_chart([0.9, 0.6], [0.7, 0.8]).data
    assert list(by_dice.y) == pytest.approx([0.3, 0.25])
    assert list(best.y) == pytest.approx([0.2, 0.25])
    assert list(chance.y) == pytest.approx([0.25, 0.25])
    assert "&lt;b&gt;" in dice_chart(pairs()).data[1].text[0]


def test_stills_have_what_there_is_to_draw():
    measured = {"WT": Calibration(*np.ones((3, 15)))}
    assert len(confidence_still(measured, pairs(), ([0.9, 0.6], [0.8, 0.7])).axes) == 3
    assert len(confidence_still({}, pairs(), None).axes) == 1
    assert len(confidence_still(measured, pairs().iloc[:0], None).axes) == 1


def test_lesion_wise_strips_follow_the_others():
    table = pd.concat([scores().assign(metric=m, value=0.5) for m in ("dice", "lesion_dice")])
    titles = [axes.get_title() for axes in score_strips(table, ["WT"]).axes]
    assert titles == ["Dice", "HD95 (mm)", "Lesion-wise Dice", ""]
