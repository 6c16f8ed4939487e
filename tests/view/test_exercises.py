"""The check of an exercise: unanswered, right, a known slip, or a hint; and never a traceback."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foir_lib.view.exercises import RIGHT, UNANSWERED, check

RIGHTS = [0.25, 3, "B", {1, 4, 9}, np.array([1.0, 2.0, 4.0]), torch.eye(2)]
JUNK = [None, "", "x", b"x", True, [], {}, set(), [1, [2, 3]], [1, ...], {"a", 1}, object(), print, 1j, np.nan]
JUNK += [np.array(["a"]), np.zeros((2, 3, 4)), torch.tensor(float("inf")), pd.Series(["a"]), pd.NaT, -7, [np.nan] * 3]
finite = st.floats(-1e6, 1e6, allow_subnormal=False)


@pytest.mark.parametrize("right", RIGHTS, ids=lambda value: type(value).__name__)
def test_every_right_answer_is_right_and_an_ellipsis_is_none(right):
    assert check(..., right) == UNANSWERED
    assert check(right, right) == RIGHT


@pytest.mark.parametrize("right", RIGHTS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("junk", JUNK, ids=lambda value: type(value).__name__)
def test_whatever_is_given_meets_one_sentence(right, junk):
    said = check(junk, right)
    assert said.startswith("not yet: ") and said.endswith(".") and "\n" not in said


@pytest.mark.parametrize("answer", [[1, 2, 4], (1, 2, 4), torch.tensor([1, 2, 4]), pd.Series([1, 2, 4.0])])
def test_numbers_may_come_in_any_dress(answer):
    assert check(answer, np.array([1, 2, 4])) == RIGHT
    assert check(answer, {4, 2, 1}) == RIGHT


def test_a_text_is_compared_without_the_blanks_around_it():
    assert check(" B ", "B") == RIGHT
    assert check("b", "B") == "not yet: it is another one."


def test_a_known_slip_is_named_and_an_unknown_one_described():
    slips = {"that is the mean.": 2.0, "that is the largest.": 4.0}
    assert check(4, 8.0, slips) == "not yet: that is the largest."
    assert check(2, 8.0, slips) == "not yet: that is the mean."
    assert check(9, 8.0, slips) == "not yet: 9 is too large."
    assert check(7, 8.0, slips) == "not yet: 7 is too small."
    assert check(8, 8.0, {"never": 8.0}) == RIGHT


def test_hints_count():
    assert check({1, 2, 3}, {2, 3, 4, 5}) == "not yet: 2 of your 3 are right, 4 are asked."
    assert check([1, 2, 5.0], np.array([1, 2, 4])) == "not yet: 2 of 3 numbers are right."
    assert check(np.zeros((2, 3)), np.zeros((3, 2))) == "not yet: the shape is (2, 3), (3, 2) is asked."
    assert "NaN" in check([1, np.nan, 4], np.array([1, 2, 4]))


@given(arrays(float, st.integers(1, 5), elements=finite), finite)
def test_right_means_within_the_tolerance_of_the_largest(right, shift):
    near = 1e-3 * np.abs(right).max()
    answer = right + shift
    off = np.abs(answer - right).max()
    if abs(off - near) > 1e-9 * (1 + abs(shift) + np.abs(right).max()):
        assert (check(answer, right) == RIGHT) == (off <= near)


@given(st.sets(st.integers(0, 11), min_size=1), st.sets(st.integers(0, 11), min_size=1))
def test_sets_are_right_when_they_are_equal(a, b):
    assert (check(a, b) == RIGHT) == (a == b)
    assert (check(torch.tensor(list(a)), b) == RIGHT) == (a == b)
