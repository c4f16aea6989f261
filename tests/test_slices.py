"""Slices and their neighbours, by hand."""

from __future__ import annotations

import pytest
import torch

from lightning_brats.errors import ConfigError
from lightning_brats.slices import (
    across,
    axis_numbers,
    check_neighbours,
    neighbours_as_channels,
    typical_slice,
)


def test_channels_are_modalities_and_within_them_slices() -> None:
    slab = torch.arange(5) + 10 * torch.arange(2)[:, None]  # modality 0: 0 … 4, 1: 10 … 14
    found = neighbours_as_channels(slab.view(2, 1, 1, 5), 2, 1)
    assert found.shape == (6, 1, 1, 3)
    expected = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [10, 11, 12], [11, 12, 13], [12, 13, 14]]
    assert found.view(6, 3).tolist() == expected


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slab_along_any_axis(axis: int) -> None:
    slab = torch.rand(2, 5, 5, 5)
    found = neighbours_as_channels(slab, axis, 2)
    planes = [slab.select(1 + axis, number) for number in range(5)]
    expected = torch.stack([plane[channel] for channel in range(2) for plane in planes])
    assert torch.equal(found, expected.unsqueeze(1 + axis))
    assert neighbours_as_channels(slab, axis, 0) is slab


def test_a_slice_s_sides_keep_their_order() -> None:
    assert [across((160, 192, 1), axis) for axis in (0, 1, 2)] == [
        (1, 160, 192),
        (160, 1, 192),
        (160, 192, 1),
    ]
    assert across((1, 160, 192), 2) == (160, 192, 1)
    assert across((48, 48, 48), None) == (48, 48, 48)


def test_typical_slices_hold_those_along_all_axes() -> None:
    shape = (140, 170, 120)
    assert typical_slice(shape, [2]) == (140, 170, 1)
    assert typical_slice(shape, [1]) == (140, 120, 1)
    assert typical_slice(shape, [0]) == (170, 120, 1)
    assert typical_slice(shape, [0, 1, 2]) == (170, 170, 1)


def test_axes_by_name() -> None:
    assert axis_numbers(["axial", "sagittal"], (8, 8, 1), "queue.axes") == [2, 0]
    assert axis_numbers(None, (8, 1, 8), "queue.axes") == [1]
    assert axis_numbers(None, (8, 8, 8), "queue.axes") == []


@pytest.mark.parametrize("axes", [[], ["axial", "axial"], ["z"], "axial"])
def test_wrong_axes_are_refused(axes: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"queue\.axes=.*axial") as caught:
        axis_numbers(axes, (8, 8, 1), "queue.axes")
    assert "[axial,coronal,sagittal]" in str(caught.value.remedy)


def test_volumes_have_neither_axes_nor_neighbours() -> None:
    for refused in (
        lambda: axis_numbers(["axial"], (8, 8, 8), "inference.axes"),
        lambda: check_neighbours(1, (8, 8, 8), "queue.neighbours"),
    ):
        with pytest.raises(ConfigError, match="is for slices") as caught:
            refused()
        assert "queue=slices" in str(caught.value.remedy)
    check_neighbours(0, (8, 8, 8), "queue.neighbours")
    with pytest.raises(ConfigError, match="less than 0"):
        check_neighbours(-1, (8, 8, 1), "queue.neighbours")
