"""Calibration by hand: bins, Wilson's interval by its formula, and what the error must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from foir_lib.bench import metrics
from foir_lib.errors import InputError

STATED, RIGHT = [0.0, 0.1, 0.15, 0.5, 0.9, 0.95, 1.0, 1.0], [0, 1, 0, 1, 1, 0, 1, 1]
ANSWERS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_bins_and_error_by_hand():
    """(0, 0.1]: 0 and 0.1, one of two right; (0.1, 0.2]: 0.15, wrong; (0.4, 0.5]: 0.5; (0.8, 0.9]: 0.9; (0.9, 1]: 0.95, 1, 1, two of three."""
    rows = metrics.reliability(STATED, RIGHT)
    assert rows.index.tolist() == [0, 1, 4, 8, 9] and rows["n"].tolist() == [2, 1, 1, 1, 3]
    assert rows["confidence"].tolist() == pytest.approx([0.05, 0.15, 0.5, 0.9, 2.95 / 3])
    assert rows["right"].tolist() == pytest.approx([0.5, 0, 1, 1, 2 / 3])
    by_hand = (2 * 0.45 + 0.15 + 0.5 + 0.1 + (2.95 - 2)) / 8
    assert metrics.expected_calibration_error(STATED, RIGHT) == pytest.approx(by_hand) == pytest.approx(0.325)


def test_one_bin_holds_all_and_its_error_is_that_of_the_means():
    assert metrics.expected_calibration_error(STATED, RIGHT, bins=1) == pytest.approx(abs(np.mean(RIGHT) - np.mean(STATED)))


def test_the_interval_is_wilsons():
    """(p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n); of 8 of 10 it is 0.490 to 0.943."""
    (row,) = metrics.reliability([0.85] * 10, [1] * 8 + [0] * 2).itertuples()
    n, p, z = 10, 0.8, 1.959964
    middle, reach = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (row.low, row.high) == pytest.approx(((middle - reach) / (1 + z * z / n), (middle + reach) / (1 + z * z / n)), abs=1e-6)
    assert (row.low, row.high) == pytest.approx((0.490, 0.943), abs=5e-4)


@given(ANSWERS, st.integers(1, 20))
def test_as_scikit_learn_and_within_bounds(answers, bins):
    stated, right = map(list, zip(*answers, strict=True))
    rows = metrics.reliability(stated, right, bins)
    share, confidence = calibration_curve(right, stated, n_bins=bins, pos_label=True)
    assert rows["right"].tolist() == pytest.approx(share) and rows["confidence"].tolist() == pytest.approx(confidence)
    assert rows["n"].sum() == len(answers) and (rows["low"] <= rows["right"] + 1e-9).all() and (rows["right"] <= rows["high"] + 1e-9).all()
    assert 0 <= metrics.expected_calibration_error(stated, right, bins) <= 1


@given(ANSWERS)
def test_who_is_certain_of_the_truth_makes_no_error_and_who_is_certain_of_its_contrary_makes_the_largest(answers):
    truth = np.array([right for _, right in answers])
    assert metrics.expected_calibration_error(truth.astype(float), truth) == 0
    assert metrics.expected_calibration_error(1.0 - truth, truth) == 1


@pytest.mark.parametrize(
    ("stated", "right", "words"),
    [
        ([], [], "give one of each"),
        ([0.5], [1, 0], "give one of each"),
        ([0.5, 1.5], [1, 0], "1.5 is no confidence"),
        ([float("nan")], [1], "nan is no confidence"),
        ([0.5], [0.5], "right .1. or wrong"),
    ],
)
def test_what_is_no_confidence_is_refused(stated, right, words):
    with pytest.raises(InputError, match=words):
        metrics.reliability(stated, right)
