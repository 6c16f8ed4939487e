"""Small examples of CNN retrieval: what is drawn where."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.methods import regions
from foir_lib.view.figures import lessons
from foir_lib.view.figures.looks import BLUE, GREEN, ORANGE, RED

PICTURE = Image.new("RGB", (120, 80), "white")


def texts(figure):
    return [one.get_text() for axes in figure.axes for one in axes.texts]


def test_every_region_has_a_dot_and_three_of_a_side_are_drawn():
    at = regions.grid(8, 12, 3)
    figure = lessons.region_grid(PICTURE, at, (8, 12))
    sides = sorted({side for *_, side in at}, reverse=True)
    assert len(figure.axes) == len(sides)
    for axes, side in zip(figure.axes, sides):
        some = [(row, column) for row, column, one in at if one == side]
        dots = axes.collections[0].get_offsets()
        assert {tuple(d) for d in dots} == {((c + side / 2) * 10, (r + side / 2) * 10) for r, c in some}
        assert axes.get_title() == f"{len(some)} of {side} x {side} cells"
        drawn = {(box.get_y() / 10, box.get_x() / 10): to_hex(box.get_edgecolor()).upper() for box in axes.patches}
        assert drawn.pop(min(some)) == ORANGE and set(drawn.values()) <= {BLUE} and set(drawn) <= set(some)
        assert all(box.get_width() == box.get_height() == 10 * side for box in axes.patches)
    with pytest.raises(InputError, match="no region"):
        lessons.region_grid(PICTURE, [], (8, 12))


def test_arrows_end_at_their_vectors():
    figure = lessons.turned([1, 0], [[0.8, 0.6], [0.0, 1.0]], {"mean": [0.6, 0.8]})
    arrows = [one.xy for one in figure.axes[0].texts if not one.get_text()]
    assert np.allclose(arrows, [[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]])
    assert [t for t in texts(figure) if t] == ["query", "answer 1", "answer 2", "mean"]
    with pytest.raises(InputError, match="two numbers"):
        lessons.turned([1, 0, 0], [], {})


def test_a_graph_has_an_edge_for_each_pair_and_the_value_of_each_node():
    affinity = np.array([[0, 1, 0], [1, 0, 0.5], [0, 0.5, 0]])
    for line in (True, False):
        figure = lessons.graph(affinity, [2.0, 1.0, 0.25], ["a", "b", "c"], line=line)
        axes = figure.axes[0]
        at = axes.collections[0].get_offsets()
        edges = [np.stack(one.get_data(), 1) for one in axes.lines]
        assert np.allclose(edges, [at[[0, 1]], at[[1, 2]]])
        assert axes.lines[0].get_linewidth() > axes.lines[1].get_linewidth()
        assert texts(figure) == ["a\n2.00", "b\n1.00", "c\n0.25"]


def test_pictures_of_a_graph_are_framed_by_their_verdict():
    figure = lessons.graph(np.ones((2, 2)) - np.eye(2), [1, 0], ["1", "2"], [PICTURE] * 2, [True, False])
    frames = [to_hex(one.spines["left"].get_edgecolor()).upper() for one in figure.axes[0].child_axes]
    assert frames == [GREEN, RED]
    with pytest.raises(InputError, match="for each node"):
        lessons.graph(np.zeros((2, 2)), [1, 0], ["1", "2"], [PICTURE])


def test_a_tradeoff_has_a_line_for_each_group_in_order_of_x():
    table = pd.DataFrame({"skipped": [30.0, 0.0, 50.0], "mAP": [60.0, 63.0, 55.0], "words": [256, 256, 1024]})
    figure = lessons.tradeoff(table, "skipped", "mAP", "words", level=63.0)
    first, second, level = figure.axes[0].lines
    assert first.get_xydata().tolist() == [[0, 63], [30, 60]] and second.get_xydata().tolist() == [[50, 55]]
    assert set(level.get_ydata()) == {63} and figure.axes[0].get_xlabel() == "skipped"
    with pytest.raises(InputError, match="lacks column 'size'"):
        lessons.tradeoff(table, "size", "mAP", "words")
