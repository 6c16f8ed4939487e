"""The calibration plot: points, intervals, diagonal and counts."""

import pytest

from foir_lib.errors import InputError
from foir_lib.view import figures


def test_points_lie_at_what_was_stated_and_at_the_share_right():
    figure = figures.calibration([0.1, 0.05, 0.85, 0.85, 0.85, 0.85], [False, False, True, True, True, False], title="A memory")
    upper, lower = figure.axes
    diagonal, points = upper.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 100]
    assert points.get_xdata() == pytest.approx([7.5, 85]) and points.get_ydata() == pytest.approx([0, 75])
    low, high = upper.collections[0].get_segments()
    assert low[:, 1] == pytest.approx([0, 100 * 3.841459 / (2 + 3.841459)]), "of 0 of n Wilson's upper end is z^2 / (n + z^2)"
    assert high[0, 1] < 75 < high[1, 1] < 100
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in lower.patches] == [pytest.approx((5, 2)), pytest.approx((85, 4))]
    assert upper.get_title(loc="left") == "expected calibration error 9.2 %, 6 answers", "(2 x 7.5 + 4 x 10) / 6"
    assert figure.get_suptitle() == "A memory"


def test_no_answers_are_refused():
    with pytest.raises(InputError, match="give one of each"):
        figures.calibration([], [])
