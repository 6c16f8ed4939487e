"""Figures of co-attention, regions and matches: what lies where, on which scale."""

import numpy as np
import pytest
import torch
from PIL import Image

from foir_lib import Box
from foir_lib.errors import InputError
from foir_lib.models.cnn import Locals
from foir_lib.search.rerank import spatial
from foir_lib.view import figures
from foir_lib.view.figures.regions import over_cells


def drawn(figure):
    figure.canvas.draw()
    return figure


def test_maps_share_a_scale_in_each_band():
    pictures = [Image.new("RGB", (120, 90), colour) for colour in ("red", "blue")]
    boxes = [Box(0, 0, 50, 50), Box(50, 50, 90, 90)]
    heats = [[np.full((4, 5), 1.0), np.full((4, 5), 3.0)], [np.full((4, 5), 2.0), np.full((4, 5), 9.0)]]
    figure = drawn(
        figures.coattention_maps(pictures[0], boxes, [pictures] * 2, {"picture": None, "map": heats})
    )
    tops = [axes.images[-1].get_clim()[1] for axes in figure.axes if len(axes.images) == 2]
    assert tops == [3, 3, 9, 9]
    with pytest.raises(InputError, match="2 prompts need"):
        figures.coattention_maps(pictures[0], boxes, [pictures], {"map": heats})


def test_circles_lie_on_their_features():
    picture = Image.new("RGB", (40, 20))
    features = Locals.from_map(torch.rand(3, 2, 4, generator=torch.manual_seed(0)), picture.size)
    figure = drawn(figures.local_features(picture, features, torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])))
    for axes in figure.axes:
        circles = [(*p.center, p.radius) for p in axes.patches]
        assert circles == [(x, y, 5.0) for y in (5.0, 15.0) for x in (5.0, 15.0, 25.0, 35.0)]
    assert {t.get_text() for t in figure.axes[1].texts} == {"0", "1", "2"}
    with pytest.raises(InputError, match="labels don't fit"):
        figures.local_features(picture, features, [0])


def test_regions_are_averaged_over_cells_and_the_best_are_boxed():
    at, weights = [(0, 0, 1), (0, 0, 2)], [1.0, 3.0]
    assert over_cells(at, weights, (2, 3)).tolist() == [[1.0, 1.5, 0.0], [1.5, 1.5, 0.0]]
    figure = drawn(figures.regions([Image.new("RGB", (30, 20))], [at], [weights], [(2, 3)], top=1))
    box = figure.axes[0].patches[0]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (0, 0, 20, 20)
    with pytest.raises(InputError, match="weights don't fit"):
        figures.regions([Image.new("RGB", (30, 20))], [at], [[1.0]], [(2, 3)])


def test_matches_are_lines_between_the_points():
    picture, points = Image.new("RGB", (30, 20)), np.float32([[1, 2], [3, 4]])
    verified = spatial.Verified(points, points + 1, np.eye(2, 3), np.array([[0, 0], [1, 1]]))
    figure = drawn(figures.matches(picture, [picture], [verified], right=[True]))
    assert [(a.xy1, a.xy2) for a in figure.artists] == [([1, 2], [2, 3]), ([3, 4], [4, 5])]
    assert figure.axes[1].get_title() == "2 inliers"
    with pytest.raises(InputError, match="can't be paired"):
        figures.matches(picture, [], [])
