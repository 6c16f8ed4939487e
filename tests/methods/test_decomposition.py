"""Crops, pyramids and groups of tokens, worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.methods import decomposition
from foir_lib.methods.decomposition import window


@pytest.mark.parametrize(
    ("box", "size", "least", "expected"),
    [
        ((100, 100, 120, 110), (640, 480), 64, (78, 73, 142, 137)),  # centred: 110 - 32, 105 - 32
        ((0, 0, 20, 20), (640, 480), 64, (0, 0, 64, 64)),  # at the corner: shifted, not shrunk
        ((630, 470, 640, 480), (640, 480), 64, (576, 416, 640, 480)),
        ((100, 100, 300, 120), (640, 480), 64, (100, 78, 300, 142)),  # wider than the least: the box's own width
        ((10, 10, 20, 20), (50, 40), 64, (0, 0, 50, 40)),  # the picture is smaller
        ((10, 10, 20, 20), (50, 400), 64, (0, 0, 50, 64)),
        ((10.5, 10.2, 11.5, 10.4), (640, 480), 1, (10, 10, 12, 11)),  # every pixel that it touches
        ((-50, -50, 20, 30), (640, 480), 32, (0, 0, 32, 32)),  # what lies outside moves no centre: 0..20, 0..30
        ((-50, -50, -10, -10), (640, 480), 32, (0, 0, 32, 32)),  # outside: the nearest there is
        ((900, 500, 1000, 600), (640, 480), 32, (608, 448, 640, 480)),
    ],
)
def test_a_crop_by_hand(box, size, least, expected):
    assert window(box, size, least) == expected


lengths = st.integers(1, 500)


@given(st.tuples(*[st.floats(-600, 600)] * 2), st.floats(0.1, 400), st.floats(0.1, 400), st.tuples(lengths, lengths), lengths)
def test_a_crop_lies_in_the_picture_and_is_large_enough(corner, width, height, size, least):
    box = (*corner, corner[0] + width, corner[1] + height)
    x0, y0, x1, y1 = window(box, size, least)
    for low, high, length, first, last in ((x0, x1, size[0], box[0], box[2]), (y0, y1, size[1], box[1], box[3])):
        assert 0 <= low < high <= length and high - low >= min(least, length)
        if last > 0 and first < length:
            assert low <= max(first, 0) and high >= min(last, length), "the object's visible part is inside"


def test_a_pyramid():
    boxes = decomposition.pyramid((12, 6), 3)
    assert boxes.shape == (14, 4)
    assert boxes[:5].tolist() == [[0, 0, 12, 6], [0, 0, 6, 3], [6, 0, 12, 3], [0, 3, 6, 6], [6, 3, 12, 6]]
    np.testing.assert_allclose(boxes[5], [0, 0, 4, 2])
    np.testing.assert_allclose(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum(), 3 * 72)


def test_tiles_cover_the_picture_once():
    assert decomposition.tiles((512, 256), 128) == ([(x, y, x + 128, y + 128) for y in (0, 128) for x in (0, 128, 256, 384)], (2, 4))
    boxes, grid = decomposition.tiles((100, 5000), 128)
    assert grid == (4, 1) and boxes[0] == (0, 0, 100, 1250)
    assert decomposition.tiles((10, 10), 128) == ([(0, 0, 10, 10)], (1, 1))


@given(st.integers(1, 400), st.integers(1, 400), st.integers(2, 90), st.data())
def test_overlapping_windows_cover_and_share(width, height, side, data):
    overlap = data.draw(st.integers(1, side - 1))
    boxes = decomposition.overlapping((width, height), side, overlap)
    xs, ys = sorted({(x0, x1) for x0, _, x1, _ in boxes}), sorted({(y0, y1) for _, y0, _, y1 in boxes})
    assert boxes == [(x0, y0, x1, y1) for y0, y1 in ys for x0, x1 in xs]
    for spans, length in ((xs, width), (ys, height)):
        assert spans[0][0] == 0 and spans[-1][1] == length and all(high - low == min(side, length) for low, high in spans)
        assert all(low[1] - high[0] >= overlap - 1 for low, high in zip(spans, spans[1:]))


def scene():
    """Features (8, 10, 3): a ground, a 2 x 3 thing at rows 1-2, columns 1-3, and a 3 x 2 one at rows 4-6, columns 7-8; noise."""
    features = np.zeros((8, 10, 3)) + np.array([1.0, 0, 0])
    features[1:3, 1:4], features[4:7, 7:9] = (0, 1, 0), (0, 0, 1)
    return features + np.random.default_rng(0).normal(0, 0.02, features.shape)


def test_groups_are_the_things():
    found = decomposition.groups(scene(), most=5)
    first = {tuple(map(int, decomposition.box_of(mask, (10, 8)))) for mask in found.masks[:2]}
    assert first == {(1, 1, 4, 3), (7, 4, 9, 7)}
    assert (found.masks[:2].sum((1, 2)) == 6).all() and (np.diff(found.scores) <= 0).all() and found.scores[1] > 0.8
    for mask, vector in zip(found.masks, found.vectors, strict=True):
        np.testing.assert_allclose(vector, scene()[mask].mean(0), atol=1e-6)
        (x0, y0, x1, y1), n = decomposition.box_of(mask, (10, 8)), mask.sum()
        assert 2 <= n <= 20 and n >= 0.5 * (x1 - x0) * (y1 - y0)
    assert len(decomposition.groups(scene(), most=1).scores) == 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2, 3), (1, 5, 3), (4, 4, 3)])
def test_groups_of_few_or_equal_tokens_are_defined(shape):
    found = decomposition.groups(np.ones(shape))
    assert found.masks.shape[1:] == shape[:2] and np.isfinite(found.vectors).all() and np.isfinite(found.scores).all()
    assert len(found.masks) == len(found.scores) == len(found.vectors)


def test_the_box_of_a_group_in_pixels():
    mask = np.zeros((4, 8), bool)
    mask[1:3, 2] = True
    assert decomposition.box_of(mask, (80, 20)) == (20, 5, 30, 15)
