"""What a detector says of a picture fits together, or is refused in one sentence."""

import numpy as np
import pytest

from foir_lib.detections import Detections
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
