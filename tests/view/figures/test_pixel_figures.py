"""Figures of outlines: polygons by hand, what is called right, whose IoU stands below, and what makes no figure."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from PIL import Image
from tiny import N, world

from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.prompts import Box
from foir_lib.view import figures
from foir_lib.view.figures import pixels
from foir_lib.view.figures.looks import BLUE, GREEN, RED


def square(x0, y0, x1, y1, height=20, width=30):
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def lines(axes):
    """Colour, dash and polygons of the coloured outline on axes, or None."""
    drawn = [one for one in axes.collections if isinstance(one, PolyCollection)]
    if not drawn:
        return None
    rim, line = drawn
    assert to_hex(rim.get_edgecolor()[0]) in ("#ffffff", "#000000") and rim.get_linewidth()[0] > line.get_linewidth()[0]
    return to_hex(line.get_edgecolor()[0]).upper(), line.get_linestyle()[0][1], [path.vertices[:-1].tolist() for path in line.get_paths()]


# ---- polygons


def test_borders_of_components_holes_and_slivers_by_hand():
    (one,) = pixels.contours(square(3, 2, 8, 6))
    assert {tuple(point) for point in one} == {(3.5, 2.5), (7.5, 2.5), (7.5, 5.5), (3.5, 5.5)}
    mask = square(2, 2, 12, 12)
    mask[5:8, 5:8] = False
    mask[15, 20] = True
    mask[17, 4:9] = True
    found = sorted(pixels.contours(mask), key=lambda line: line.mean(0).tolist())
    boxes = sorted([*line.min(0), *line.max(0)] for line in found)
    assert np.round(boxes, 3).tolist() == [[2.5, 2.5, 11.5, 11.5], [4.1, 17.1, 8.9, 17.9], [4.5, 4.5, 8.5, 8.5], [20.1, 15.1, 20.9, 15.9]]  # a hole's border lies on what is around it
    assert pixels.contours(np.zeros((4, 4), bool)) == []


@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_polygons_filled_by_the_even_odd_rule_hold_the_middles_of_the_mask_s_pixels_alone(mask):
    fine = np.zeros([8 * side + 1 for side in mask.shape], np.uint8)
    polygons = pixels.contours(mask)
    assert all(len(line) >= 3 for line in polygons)
    cv2.fillPoly(fine, [(8 * line).round().astype(np.int32) for line in polygons], 1)
    np.testing.assert_array_equal(fine[4::8, 4::8].astype(bool), mask)


def test_a_tolerance_leaves_corners_out_and_nothing_else():
    y, x = np.mgrid[:200, :200]
    disc = (x - 100) ** 2 + (y - 100) ** 2 < 80**2
    (fine,), (coarse,) = pixels.contours(disc), pixels.contours(disc, 1.0)
    assert len(coarse) < len(fine) / 2
    inside = cv2.fillPoly(np.zeros(disc.shape, np.uint8), [coarse.round().astype(np.int32)], 1).astype(bool)
    assert (inside & disc).sum() / (inside | disc).sum() > 0.97


def test_a_localisation_is_outlined_by_its_mask_else_its_box_else_not():
    assert len(pixels.polygons(Localisation.of(square(1, 1, 5, 5), 1.0))) == 1
    (box,) = pixels.polygons(Localisation(None, [1, 2, 5, 9], 1.0))
    assert box.tolist() == [[1, 2], [5, 2], [5, 9], [1, 9]]
    assert pixels.polygons(Localisation.nothing()) == []


# ---- verdicts


@pytest.mark.parametrize(
    "right, iou, expected",
    [(True, 0.5, True), (True, 0.49, False), (True, None, None), (False, 0.9, False), (False, None, False), (None, 0.9, None), (None, None, None)],
)
def test_what_is_called_right(right, iou, expected):
    assert pixels.verdict(right, iou) is expected


def test_overlaps_by_hand():
    truth = square(0, 0, 10, 10)
    assert pixels.overlap(Localisation.of(square(5, 0, 15, 10), 1.0), truth) == pytest.approx(50 / 150)
    assert pixels.overlap(Localisation(None, [0, 0, 10, 5], 1.0), truth) == pytest.approx(0.5)
    assert pixels.overlap(Localisation.nothing(), truth) == pixels.overlap(Localisation.of(truth, 1.0), np.zeros_like(truth)) == 0
    assert pixels.box_overlap([0, 0, 2, 2], [3, 3, 4, 4]) == 0


# ---- figures


@pytest.fixture(scope="module")
def rs(tiny):
    return world(tiny.paths)


def test_a_ranked_list_with_outlines_says_the_same_by_colour_dash_and_mark(rs):
    size = {row: tuple(rs.database[["height", "width"]].iloc[row]) for row in range(N)}
    mask = Localisation.of(square(3, 2, 8, 6, *size[3]), 0.5)
    box = Localisation(None, [1, 2, 5, 9], 0.5)
    figure = figures.outlines(rs, 3, {"Dense": ([3, 4, 5, 6, -1], [mask, box, mask_of(size[5]), Localisation.nothing(), Localisation.nothing()],
                                                [True, False, None, True, None], [0.75, None, None, 0.0, None])}, title="t")  # fmt: skip
    query, *results = figure.axes
    assert query.get_title() == "Dense" and query.patches, "the query's box"
    assert len(results) == 4
    looks = [lines(axes) for axes in results]
    assert [look and look[0] for look in looks] == [GREEN, RED.upper(), BLUE, None]
    assert looks[0][1] is None and looks[1][1] and looks[2][1] and looks[1][1] != looks[2][1]
    assert sorted(map(tuple, looks[0][2][0])) == [(3.5, 2.5), (3.5, 5.5), (7.5, 2.5), (7.5, 5.5)] and looks[1][2] == [[[1, 2], [5, 2], [5, 9], [1, 9]]]
    assert [axes.get_xlabel() for axes in results] == ["IoU 0.75", "isn't there", "", "not found"]
    assert [[text.get_text() for text in axes.texts] for axes in results] == [["✓"], ["✗"], [], ["✗"]]


def mask_of(size):
    return Localisation.of(square(2, 2, 6, 6, *size), 0.5)


def test_localisers_stand_beside_query_and_truth_with_their_iou(rs):
    picture, truth = rs.open("p0"), square(5, 5, 15, 15, 56, 90)
    answers = {"Dense": [Localisation.of(truth, 1.0), Localisation.of(truth, 1.0)], "SP": [Localisation(None, [5, 5, 15, 10], 1.0), Localisation.nothing()]}
    figure = figures.localisers([(picture, Box(5, 5, 15, 15))] * 2, [picture] * 2, [truth, np.zeros_like(truth)], answers, ["cup", "no cup"])
    table = np.reshape(figure.axes, (2, 4))
    assert [axes.get_title() for axes in table[0]] == ["query", "truth", "Dense", "SP"]
    assert [[axes.get_xlabel() for axes in line] for line in table] == [["cup", "", "IoU 1.00", "IoU 0.50"], ["no cup", "isn't there", "isn't there", "not found"]]
    assert lines(table[0, 2])[0] == GREEN and lines(table[1, 2])[0] == RED.upper() and lines(table[1, 3]) is None
    assert table[1, 3].texts[0].get_text() == "✓", "nothing is there, and nothing was found"


def test_image_map_against_pixel_map_names_lists_and_localisers():
    rows = pd.DataFrame([("A", "x", 40, 20), ("A", "y", 40, 25), ("B", "x", 60, 18), ("B", "y", 60, 30)], columns=["list", "localiser", "image", "pixel"])
    rows = rows.assign(pixel_low=rows["pixel"] - 2, pixel_high=rows["pixel"] + 3)
    axes = figures.image_and_pixel_map(rows).axes[0]
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines if not line.get_label().startswith("_")}
    assert drawn == {"x": [[40, 20], [60, 18]], "y": [[40, 25], [60, 30]]}
    assert [text.get_text() for text in axes.texts] == ["A", "B"]
    intervals = [segment.tolist() for one in axes.collections for segment in one.get_segments()]
    assert [[40, 18], [40, 23]] in intervals and len(intervals) == 4


def test_what_makes_no_figure_is_said(rs):
    one, picture, truth = Localisation.nothing(), Image.new("RGB", (9, 9)), np.zeros((9, 9), bool)
    for make, words in (
        (lambda: figures.outlines(rs, 99, {"a": ([], [], None, None)}), "no query 99"), (lambda: figures.outlines(rs, 0, {}), "no results to outline"),
        (lambda: figures.outlines(rs, 0, {"a": ([1, 2], [one], None, None)}), "1 localisations don't fit the 2 results of a"),
        (lambda: figures.localisers([], [], [], {"a": []}), "0 cases and 1 localisers"), (lambda: figures.localisers([(picture, None)], [picture], [truth], {"a": []}), "0 of a"),
        (lambda: figures.image_and_pixel_map(pd.DataFrame()), "no rows"), (lambda: figures.image_and_pixel_map(pd.DataFrame({"list": ["a"]})), "lack 'localiser'"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            make()
