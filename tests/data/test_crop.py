"""A crop that is the same for every case."""

import json

import nibabel as nib
import numpy as np
import pytest
from conftest import write_case

from lightning_brats.data.case import Case
from lightning_brats.data.crop import fixed_box
from lightning_brats.data.preprocess import Geometry, Preprocess
from lightning_brats.data.reading import read_case
from lightning_brats.errors import ConfigError, DataError

BRATS = [[48, 192], [48, 192], [5, 149]]
UNEVEN = [[4, 12], [2, 15], [3, 14]]


def test_at_1_mm_it_is_in_voxels() -> None:
    assert fixed_box(BRATS, (240, 240, 155), (1, 1, 1)) == ((48, 192), (48, 192), (5, 149))


def test_at_3_mm_it_has_a_third_of_the_voxels() -> None:
    box = fixed_box(BRATS, (80, 80, 52), (3, 3, 3))
    assert box == ((16, 64), (16, 64), (2, 50))


def test_it_ends_where_the_volume_does() -> None:
    whole = [[0, 240], [0, 240], [0, 155]]
    assert fixed_box(whole, (182, 218, 182), (1, 1, 1)) == ((0, 182), (0, 218), (0, 155))
    assert fixed_box([[200, 240], [0, 9], [0, 9]], (182, 9, 9), (1, 1, 1))[0] == (182, 182)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SLA", "ILP"])
def test_masks_return_to_the_input_s_grid(axes: str, tmp_path) -> None:
    """The crop counts from the patient's left, back and feet, however the file is stored."""
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(axes))
    )
    case = write_case(tmp_path, shape=(24, 28, 20), affine=np.eye(4))  # RAS
    volume = read_case(case)
    assert volume.mask is not None
    inside = np.zeros(volume.mask.shape, bool)
    inside[4:12, 2:15, 3:14] = True
    kept = np.where(inside, volume.mask, 0)
    assert (kept != volume.mask).any()  # it cuts something off

    affine = np.eye(4) @ nib.orientations.inv_ornt_aff(turn, (24, 28, 20))
    stored = Case("x", "x", case.images, case.scheme)
    turned = type(volume)(
        np.stack([nib.orientations.apply_orientation(c, turn) for c in volume.image]),
        affine,
        nib.orientations.apply_orientation(volume.mask, turn),
        nib.orientations.apply_orientation(volume.brain, turn),
    )
    prepared = Preprocess(crop=UNEVEN)(stored, turned)
    assert prepared.image.shape == (4, 8, 13, 11)
    back = prepared.geometry.restore(prepared.mask)
    assert np.array_equal(back, nib.orientations.apply_orientation(kept, turn))
    assert Geometry.from_dict(prepared.geometry.to_dict()) == prepared.geometry


def test_intensities_are_those_of_the_brain_in_the_crop(case: Case) -> None:
    volume = read_case(case)
    image = Preprocess(crop=UNEVEN)(case, volume).image.astype(np.float64)
    inside = image[:, (image != 0).any(0)]
    assert np.allclose(inside.mean(1), 0, atol=2e-3)
    assert np.allclose(inside.std(1), 1, atol=2e-3)


def test_a_crop_without_brain_is_refused(case: Case) -> None:
    with pytest.raises(DataError, match=r"no brain in preprocess\.crop"):
        Preprocess(crop=[[0, 1], [0, 1], [0, 1]])(case, read_case(case))
    with pytest.raises(DataError, match=r"no brain in preprocess\.crop"):
        Preprocess(crop=[[500, 600], [0, 9], [0, 9]])(case, read_case(case))


@pytest.mark.parametrize("crop", [[[0, 9], [0, 9]], [[0, 9], [0, 9], [9, 0]], [[0], [1], [2]]])
def test_what_is_no_box_is_refused(crop: list) -> None:
    with pytest.raises(ConfigError, match="is no box"):
        Preprocess(crop=crop)


def test_it_survives_json_and_leaves_earlier_entries_their_names() -> None:
    cropped = Preprocess(crop=BRATS)
    assert Preprocess.from_dict(json.loads(json.dumps(cropped.to_dict()))) == cropped
    assert "crop" not in Preprocess().to_dict()
