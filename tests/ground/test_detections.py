"""What a detector or a localiser says of a picture fits together, or is refused in one sentence."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as rle

from foir_lib.detections import Detections, Localisation
from foir_lib.errors import InputError


def test_some_of_them_and_none():
    things = Detections([[0, 0, 2, 3], [1, 1, 4, 2]], [0.5, 0.25], np.arange(24).reshape(2, 3, 4) % 2 == 0)
    assert len(things) == 2 and things.boxes.dtype == things.scores.dtype == np.float32
    second = things[np.array([False, True])]
    np.testing.assert_array_equal(second.boxes, [[1, 1, 4, 2]])
    assert second.scores.tolist() == [0.25] and second.masks.shape == (1, 3, 4)
    assert len(Detections([], [])) == len(things[:0]) == 0 and Detections([], []).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "scores", "masks", "words"),
    [
        ([[0, 0, 1, 1]], [], None, "1 boxes, 0 scores and no masks"),
        ([[0, 0, 1, 1]], [1], np.zeros((2, 4, 4), bool), "don't fit"),
        ([[0, 0, 1, 1]], [1], np.zeros((4, 4), bool)[:1], "don't fit"),
        ([[1, 0, 1, 1]], [1], None, "without area"),
        ([[0, 0, np.nan, 1]], [1], None, "finite"),
        ([[0, 0, 1, 1]], [np.inf], None, "finite"),
    ],
)
def test_what_does_not_fit_is_refused(boxes, scores, masks, words):
    with pytest.raises(InputError, match=words):
        Detections(boxes, scores, masks)


# ---- where a picture shows a query


def test_a_localisation_of_a_part_moves_into_the_whole_picture():
    part = Localisation.of(np.array([[1, 0], [1, 1]], bool), 0.5).within((3, 1, 7, 5), (9, 6))  # twice as large
    np.testing.assert_array_equal(part.box, [3, 1, 7, 5])
    assert part.mask["size"] == [6, 9] and part.score == 0.5
    shown = ["".join(".#"[int(pixel)] for pixel in row) for row in part.pixels()]
    assert shown == [".........", "...##....", "...##....", "...####..", "...####..", "........."]
    nothing = Localisation.nothing(0.25)
    assert nothing.within((0, 0, 1, 1), (9, 6)) == nothing
    box = Localisation(None, np.array([1, 0, 2, 1]), 0.5)
    np.testing.assert_array_equal(box.within((3, 1, 7, 5), (9, 6), (2, 2)).box, [5, 1, 7, 3])
    with pytest.raises(InputError, match="A box without a mask can't be moved"):
        box.within((3, 1, 7, 5), (9, 6))
    for window in ((0, 0, 10, 6), (2, 2, 2, 4), (-1, 0, 3, 3)):
        with pytest.raises(InputError, match="no area in a picture of 9 x 6"):
            part.within(window, (9, 6))


@given(st.data())
def test_moved_run_lengths_are_those_of_the_moved_pixels(data):
    pixels = data.draw(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=8)).filter(np.any))
    width, height = data.draw(st.tuples(st.integers(8, 30), st.integers(8, 30)))
    (x0, x1), (y0, y1) = (sorted(data.draw(st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True))) for side in (width, height))
    moved = Localisation.of(pixels, 1.0).within((x0, y0, x1, y1), (width, height))
    whole = np.zeros((height, width), bool)
    for y in range(y0, y1):
        for x in range(x0, x1):  # the last row and column of the part that begin at or before this pixel
            row = max(r for r in range(len(pixels)) if r * (y1 - y0) // len(pixels) <= y - y0)
            column = max(c for c in range(pixels.shape[1]) if c * (x1 - x0) // pixels.shape[1] <= x - x0)
            whole[y, x] = pixels[row, column]
    assert moved.mask == (Localisation.of(whole, 1.0).mask if whole.any() else None)


def test_a_large_picture_is_never_held_pixel_by_pixel():
    tracemalloc.start()
    part = Localisation.of(np.ones((500, 500), bool), 1.0).within((9000, 9000, 10_000, 10_000), (10_000, 10_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4e6 and rle.area(part.mask) == 1_000_000 and rle.toBbox(part.mask).tolist() == [9000, 9000, 1000, 1000]
