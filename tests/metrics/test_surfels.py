"""Areas of surface elements, from geometry."""

import math

import numpy as np
import pytest

from lightning_brats.metrics.surfels import CORNERS, border_voxels, surfel_areas, surfels

UNIT = (1.0, 1.0, 1.0)
CORNER = math.sqrt(3) / 8  # equilateral triangle through three midpoints, side √½


def code(*corners: tuple[int, int, int]) -> int:
    return sum(1 << CORNERS.tolist().index(list(corner)) for corner in corners)


@pytest.mark.parametrize(
    ("corners", "area"),
    [
        ([], 0),
        ([(0, 0, 0)], CORNER),
        ([(0, 0, 0), (1, 0, 0)], math.sqrt(0.5)),  # rectangle
        ([(0, 0, 0), (1, 1, 0)], 2 * CORNER),
        ([(0, 0, 0), (1, 1, 1)], 2 * CORNER),
        ([(0, 0, 0), (1, 0, 0), (0, 1, 0)], 0.5 + 3 * CORNER),  # half a square, trapezoid
        ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], 1),  # square
        ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], 6 * CORNER),  # regular hexagon
        ([(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)], math.sqrt(0.5) + 4 * CORNER),
        ([(0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1)], 2 * math.sqrt(0.5)),
        ([(0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)], 4 * CORNER),
    ],
)
def test_area_of_a_neighbourhood_and_of_its_complement(corners, area) -> None:
    areas = surfel_areas(UNIT)
    assert areas[code(*corners)] == pytest.approx(area)
    assert areas[255 - code(*corners)] == pytest.approx(area)


def test_the_area_of_a_face_follows_the_spacing() -> None:
    areas = surfel_areas((2.0, 3.0, 5.0))
    for axis, area in enumerate((15, 10, 6)):
        half = [tuple(corner) for corner in CORNERS if corner[axis] == 0]
        assert areas[code(*half)] == pytest.approx(area)


def test_a_corner_with_spacing_is_the_triangle_through_its_midpoints() -> None:
    a, b, c = np.diag((2.0, 3.0, 5.0)) / 2
    expected = np.linalg.norm(np.cross(b - a, c - a)) / 2
    assert surfel_areas((2.0, 3.0, 5.0))[code((0, 0, 0))] == pytest.approx(expected)


def test_all_48_turns_of_a_neighbourhood_have_one_area() -> None:
    spacing = np.array([1.0, 1.37, 2.11])
    areas = surfel_areas(tuple(spacing))
    for number in range(256):
        cube = np.zeros((2, 2, 2), bool)
        cube[tuple(CORNERS[[b for b in range(8) if number >> b & 1]].T)] = True
        for order in ((0, 1, 2), (1, 2, 0), (2, 1, 0)):
            for axis in range(3):
                turned = np.flip(cube.transpose(order), axis)
                other = surfel_areas(tuple(spacing[list(order)]))[
                    code(*map(tuple, np.argwhere(turned).tolist()))
                ]
                assert other == pytest.approx(areas[number])


def test_one_voxel_has_eight_surfels_around_it() -> None:
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[1, 1, 1] = 7
    found = surfels(mask, UNIT)
    assert sorted(map(tuple, found.points)) == sorted(map(tuple, 1 + CORNERS))
    assert found.weights == pytest.approx([CORNER] * 8)
    assert set(found.labels) == {7}


def test_area_of_a_box_at_the_volume_s_edge() -> None:
    # 2×3×4 voxels: inner points of faces, of edges, and 8 corners, everything outside is empty.
    mask = np.ones((2, 3, 4), bool)
    faces = 2 * (1 * 2 + 1 * 3 + 2 * 3)
    edges = 4 * (1 + 2 + 3) * math.sqrt(0.5)
    assert surfels(mask, UNIT).weights.sum() == pytest.approx(faces + edges + 8 * CORNER)


def test_area_of_a_ball_is_close_to_the_sphere_s() -> None:
    grid = np.indices((41, 41, 41)) - 20
    ball = (grid**2).sum(0) <= 17.5**2
    area = surfels(ball, UNIT).weights.sum()
    assert area == pytest.approx(4 * math.pi * 17.5**2, rel=0.1)


def test_objects_keep_their_elements() -> None:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[1:3, 1:3, 1:3], labels[5:8, 5:8, 5:8] = 1, 2
    for found, sizes in ((surfels(labels, UNIT), (26, 56)), (border_voxels(labels), (8, 26))):
        assert np.bincount(found.labels).tolist() == [0, *sizes]


def test_border_voxels_of_a_cube_at_the_edge() -> None:
    assert len(border_voxels(np.ones((3, 3, 3), bool))) == 26
