"""Recall of boxes and IoU of masks, by hand and by properties."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from foir_lib.bench import metrics
from foir_lib.bench.metrics.objects import overlaps
from foir_lib.detections import Detections
from foir_lib.errors import InputError


def test_by_hand():
    """Two true boxes of 10 x 10; the first is met to 0.8 and, worse, to 0.5, the second by no box of its own."""
    truth = np.array([[0, 0, 10, 10], [2, 0, 12, 10]])
    one = Detections([[0, 0, 10, 8], [0, 0, 10, 5]], [0.3, 0.9])
    np.testing.assert_allclose(overlaps(one, truth), [0.8, 40 / 110])  # 8 x 5 of 100 + 50 - 40
    other = np.array([[50, 50, 60, 60]])
    result = metrics.recall([one, Detections([], [])], [truth, other], iou=(0.3, 0.5, 0.9))
    np.testing.assert_allclose(result.recall, [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(result.overlaps, [0.8, 40 / 110, 0])
    assert result.boxes == 1.0
    best = metrics.recall([one], [truth], iou=(0.5,), at_most=1)  # by score: the box of 10 x 5
    np.testing.assert_allclose([*best.recall, best.boxes], [0.5, 1.0])


def test_a_box_is_nobodys_twice():
    """One box on two equal things meets one of them."""
    truth = np.array([[0, 0, 10, 10], [0, 0, 10, 10]])
    assert sorted(overlaps(Detections([[0, 0, 10, 10]], [1.0]), truth)) == [0, 1]


@given(st.integers(0, 10_000), st.integers(0, 9), st.integers(1, 9))
def test_properties(seed, n, m):
    """Bounded by the best possible matching and by half of it from below; order and doubled lists of boxes change nothing."""
    rng = np.random.default_rng(seed)
    corner, size = rng.random((n + m, 2)) * 4, 1 + rng.random((n + m, 2)) * 4
    boxes = np.concatenate([corner, corner + size], 1).astype(np.float32)
    one, truth = Detections(boxes[:n], rng.random(n)), boxes[n:]
    each = overlaps(one, truth)
    pairs = box_iou(torch.from_numpy(truth), torch.from_numpy(boxes[:n])).numpy()
    best = pairs[linear_sum_assignment(-pairs)].sum()
    assert best / 2 - 1e-5 <= each.sum() <= best + 1e-5 and (each >= 0).all()
    order = rng.permutation(n)
    np.testing.assert_allclose(np.sort(overlaps(one[order], truth)), np.sort(each))
    np.testing.assert_allclose(overlaps(Detections(truth, np.ones(m)), truth), 1)
    curve = metrics.recall([one], [truth]).recall
    assert (np.diff(curve) <= 0).all()


def test_what_cant_be_scored_is_told():
    with pytest.raises(InputError, match="True boxes .* can't be matched"):
        overlaps(Detections([], []), np.array([[0, 0, 0, 5]]))
    with pytest.raises(InputError, match="1 pictures were detected and 2 have"):
        metrics.recall([Detections([], [])], [np.array([[0, 0, 1, 1]])] * 2)
    with pytest.raises(InputError, match="some with boxes"):
        metrics.recall([Detections([], [])], [np.zeros((0, 4))])
    with pytest.raises(InputError, match="at_most=0"):
        metrics.recall([Detections([], [])], [np.array([[0, 0, 1, 1]])], at_most=0)
    with pytest.raises(InputError, match="bool masks of one shape"):
        metrics.mask_iou(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 3), bool))


def test_iou_of_masks():
    masks = np.zeros((3, 4, 4), bool)
    truth = masks.copy()
    masks[0, :2], truth[0, :, :2] = True, True  # 4 of 12
    masks[1], truth[1] = True, True
    np.testing.assert_allclose(metrics.mask_iou(masks, truth), [1 / 3, 1, 0])
