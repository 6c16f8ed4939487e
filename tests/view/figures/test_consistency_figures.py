"""Figures of consistency: which pictures are shown and joined, how communities are told apart, which matches keep their cells."""

import numpy as np
import pytest
from matplotlib.patches import ConnectionPatch, Rectangle
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.search.rerank import topological
from foir_lib.search.rerank.hypergraph import Adopted
from foir_lib.view import figures

REACHED = [Adopted(row, np.float32([10 * row, 5, 40 + row, 35]), parent, hop) for row, parent, hop in [(4, -1, 0), (7, 4, 1), (2, 4, 1), (9, 2, 2)]]


def pictures(n):
    return [Image.new("RGB", (64, 48), (20 * i, 90, 120)) for i in range(n)]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_walk_has_a_column_for_each_hop_and_an_arrow_for_each_step():
    figure = figures.walked(pictures(4), REACHED, right=[True, True, False, True])
    assert [axes.get_title() for axes in figure.axes] == ["seed", "hop 1", "", "hop 2"]
    assert [texts(axes)[0] for axes in figure.axes] == ["✓", "✓", "✗", "✓"]
    joined = [(one.axesA, one.axesB) for one in figure.findobj(ConnectionPatch)]
    seed, first, second, last = figure.axes
    assert joined == [(seed, first), (seed, second), (second, last)]
    boxes = [axes.findobj(Rectangle)[0].get_bbox().extents.tolist() for axes in figure.axes]
    assert boxes[0] == [40, 5, 44, 35] and boxes[2] == [20, 5, 42, 35], "the region that was carried there"
    assert boxes[1] == [64, 5, 47, 35] or boxes[1][2] <= 64, "inside the picture"


def test_a_walk_says_how_many_it_leaves_out_and_shows_no_orphans():
    figure = figures.walked(pictures(4), REACHED, most=1)
    assert [axes.get_title() for axes in figure.axes] == ["seed", "hop 1: 1 of 2"], "9 was reached through 2, which isn't shown"
    with pytest.raises(InputError, match="3 pictures and 4 steps"):
        figures.walked(pictures(3), REACHED)


def test_communities_have_a_colour_and_a_number_and_those_alone_none():
    figure = figures.communities(pictures(5), [0, 1, 0, 2, 2], right=[True, False, True, True, False])
    assert [texts(axes) for axes in figure.axes] == [["1"], [], ["1"], ["3"], ["3"]]
    colours = [axes.spines["left"].get_edgecolor() for axes in figure.axes]
    assert colours[0] == colours[2] != colours[3] == colours[4] and len(set(colours)) == 3
    assert [axes.get_xlabel() for axes in figure.axes] == ["1 ✓", "2 ✗", "3 ✓", "4 ✓", "5 ✗"]
    with pytest.raises(InputError, match="2 pictures and 1 communities"):
        figures.communities(pictures(2), [0])


def test_matches_that_keep_their_cell_are_dots_and_the_others_crosses():
    y, x = np.divmod(np.arange(16), 4)
    points = np.float32(np.stack([x, y], 1) * 10 + 5)
    pairs = np.repeat(np.arange(16)[:, None], 2, 1)
    pairs[[0, 5], 1] = [5, 0]
    region = topological.largest(points, points, pairs)
    assert len(region.matches) == 14
    figure = figures.cells(tuple(pictures(2)), (points, points), pairs, region)
    assert figure.get_suptitle() == "14 of 16 matches keep their cell"
    for axes in figure.axes:
        dots, crosses = (len(one.get_offsets()) for one in axes.collections)
        assert (dots, crosses) == (14, 2) and len(axes.lines) == 4 and len(axes.texts) == 16
    left, right = (dict(zip(map(tuple, map(list, [t.xy for t in axes.texts])), texts(axes))) for axes in figure.axes)
    assert left[5.0, 5.0] == right[5.0, 5.0] == "1" and left[35.0, 35.0] == "9"
    with pytest.raises(InputError, match="no region in which matches agree"):
        figures.cells(tuple(pictures(2)), (points, points), pairs[:0], topological.NOWHERE)
