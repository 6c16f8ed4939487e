"""Figures of detections and of maps on crops: what is drawn, where, and what is refused."""

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from PIL import Image

from foir_lib.detections import Detections
from foir_lib.errors import InputError
from foir_lib.view import figures

GRID = (2, 3)
PICTURE = Image.new("RGB", (90, 60), "grey")
HALF = np.array([1.0, 1, 0, 0, 0, 0])  # of the six patches two


def rectangles(axes):
    return [(*one.get_xy(), one.get_width(), one.get_height()) for one in axes.patches if isinstance(one, Rectangle)]


def test_boxes_stand_where_they_were_detected_and_each_way_has_its_picture():
    masks = np.zeros((1, 60, 90), bool)
    masks[0, 10:30, 20:50] = True
    one = Detections(np.array([[20.0, 10, 50, 30]]), np.ones(1), masks)
    two = Detections(np.array([[0.0, 0, 5, 6], [60, 40, 90, 60]]), np.ones(2))
    figure = figures.detections(PICTURE, {"this": one, "that": two, "none": Detections(np.zeros((0, 4)), np.zeros(0)), "again": one})
    assert [axes.get_title() for axes in figure.axes[:4]] == ["this: 1 objects", "that: 2 objects", "none: 0 objects", "again: 1 objects"]
    assert rectangles(figure.axes[0]) == [(20, 10, 30, 20)] and rectangles(figure.axes[1]) == [(0, 0, 5, 6), (60, 40, 30, 20)]
    assert rectangles(figure.axes[2]) == [] and not any(axes.axison for axes in figure.axes[4:])
    edge = np.concatenate([path.vertices for path in figure.axes[0].collections[0].get_paths()])
    assert edge.min(0).round().tolist() == [20, 10] and edge.max(0).round().tolist() == [50, 30]


def test_maps_have_one_scale_and_say_their_soft_iou():
    maps = {"start": np.stack([HALF, 1 - HALF]), "refined": torch.tensor(np.stack([HALF, HALF]))}
    figure = figures.crop_maps([PICTURE, PICTURE], maps, np.stack([HALF, HALF]), GRID)
    titles = [axes.get_title() for axes in figure.axes[2:6]]
    assert titles == ["IoU 1.00", "IoU 0.00", "IoU 1.00", "IoU 1.00"]
    heats = [axes.images[-1] for axes in figure.axes[2:6]]
    assert {(heat.norm.vmin, heat.norm.vmax) for heat in heats} == {(0, 1)}
    np.testing.assert_array_equal(heats[1].get_array(), (1 - HALF).reshape(GRID))
    (edge,) = [one for one in figure.axes[2].collections if isinstance(one, LineCollection)]
    corners = np.concatenate(edge.get_segments())
    assert corners.min(0).tolist() == [0, 0] and corners.max(0).tolist() == [60, 30]


def test_only_the_first_crops_are_drawn():
    figure = figures.crop_maps([PICTURE] * 4, {"v": np.stack([HALF] * 4)}, np.stack([HALF] * 4), GRID, most=3)
    assert len([axes for axes in figure.axes if axes.images]) == 6


@pytest.mark.parametrize(
    ("n", "maps", "words"),
    [(0, {"v": np.zeros((0, 6))}, "0 crops"), (2, {}, "0 lines of maps"), (2, {"v": np.zeros((1, 6))}, "2 crops, 2 masks"), (1, {"v": np.zeros((1, 5))}, "6")],
)
def test_what_makes_no_figure_is_refused(n, maps, words):
    with pytest.raises(InputError, match=words):
        figures.crop_maps([PICTURE] * n, maps, np.zeros((n, 6)), GRID)


def test_a_figure_of_no_detections_is_refused():
    with pytest.raises(InputError, match="give one at least"):
        figures.detections(PICTURE, {})
