"""Masks and boxes of matched points: hand-worked."""

import numpy as np
import pytest

from foir_lib.methods.pixels import matched_points

SQUARE = np.array([[2.5, 2.5], [7.5, 2.5], [7.5, 7.5], [2.5, 7.5]])


def test_the_box_covers_the_pixels_of_the_points():
    assert matched_points.box(SQUARE, (12, 10)).tolist() == [2, 2, 8, 8]
    assert matched_points.box(SQUARE[:1], (12, 10)).tolist() == [2, 2, 3, 3], "a point is a pixel"
    assert matched_points.box(np.array([[-3.0, 4.0], [99.0, 5.0]]), (12, 10)).tolist() == [0, 4, 12, 6], "at the border"


def test_discs():
    one = matched_points.mask(SQUARE[:1], (12, 10), "points", 1)
    assert sorted(zip(*np.nonzero(one))) == [(1, 2), (2, 1), (2, 2), (2, 3), (3, 2)]
    many = matched_points.mask(SQUARE, (12, 10), "points", 2)
    rows, columns = np.mgrid[:10, :12]
    near = np.any([(columns - x) ** 2 + (rows - y) ** 2 <= 4 for x, y in np.floor(SQUARE)], axis=0)
    np.testing.assert_array_equal(many, near)


def test_the_hull_is_full_and_a_polygon_that_crosses_itself_is_not():
    order = SQUARE[[0, 2, 1, 3]]  # a bow tie
    hull, polygon = (matched_points.mask(order, (12, 10), form) for form in ("hull", "polygon"))
    assert hull[2:8, 2:8].all() and hull.sum() == 36
    assert polygon.sum() < 36 and polygon[5, 2] and polygon[4, 7] and not polygon[2, 5] and not polygon[7, 4]
    np.testing.assert_array_equal(matched_points.mask(SQUARE, (12, 10), "polygon"), hull)


@pytest.mark.parametrize("form", ["points", "hull", "polygon"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_points(form, n):
    mask = matched_points.mask(SQUARE[:n], (12, 10), form, 1)
    assert mask.shape == (10, 12) and mask.any() == (n > 0)
