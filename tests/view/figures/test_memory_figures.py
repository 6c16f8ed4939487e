"""Figures of a memory: curves over views, confidences with thresholds, the matches by which a check decides."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import ConnectionPatch
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.memory.control import Thresholds
from foir_lib.view import figures


def table():
    lines = [
        (f"after {k} view{'s' * (k > 1)}", "accuracy (Crop)", ours, low, high)
        for k, ours, low, high in [(1, 60, None, None), (2, 70, 4, 15), (5, 90, 20, 40)]
    ]
    lines += [
        ("views of new things", "called known (Crop)", 4, None, None),
        ("views of remembered things", "called known (Crop)", 80, None, None),
    ]
    rows = pd.DataFrame(lines, columns=["method", "metric", "ours", "low", "high"])
    return rows.assign(dataset="d", model="m", low=rows["low"].astype(float), high=rows["high"].astype(float))


def test_a_curve_lies_over_the_number_of_views_and_its_intervals_on_the_first_score():
    left, right = figures.learning(table(), title="A memory").axes
    line = left.lines[0]
    assert line.get_xdata().tolist() == [1, 2, 5] and line.get_ydata().tolist() == [60, 70, 90]
    ends = [segment.tolist() for segment in left.collections[0].get_segments()]
    assert ends == [[[2, 64], [2, 75]], [[5, 80], [5, 100]]]
    assert sorted(bar.get_width() for bar in right.patches) == [4, 80]
    assert [text.get_text() for text in right.get_yticklabels()] == [
        "views of new things",
        "views of remembered things",
    ]
    told = table().iloc[:3].replace({"method": {"after 1 view": "after 0 interactions a thing", "after 2 views": "after 1 interaction a thing"}})
    (alone,) = figures.learning(told.iloc[:2]).axes
    assert alone.lines[0].get_xdata().tolist() == [0, 1] and alone.get_xlabel() == "interactions a thing"
    with pytest.raises(InputError, match="There is no curve"):
        figures.learning(table().iloc[3:])


def test_histograms_say_which_share_is_known_unsure_and_new():
    figure = figures.confidences(
        [0.95, 0.9, 0.5, 0.1], [0.05, 0.1, 0.3, 0.2], Thresholds((0.0, 1.0, 1.0), 0.8, 0.15, 8)
    )
    upper, lower = figure.axes
    assert upper.get_title(loc="left").endswith("known 50 %, unsure 25 %, new 25 %")
    assert lower.get_title(loc="left").endswith("known 0 %, unsure 50 %, new 50 %")
    assert (
        sum(bar.get_height() for bar in upper.patches)
        == pytest.approx(100)
        == sum(bar.get_height() for bar in lower.patches)
    )
    assert [line.get_xdata()[0] for line in upper.lines] == [0.8, 0.15]
    with pytest.raises(InputError, match="0 right answers and 1 new things"):
        figures.confidences([], [0.1], Thresholds(None, 0.5, 0.1, 0))


def test_evidence_joins_what_agrees_on_one_motion():
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
    look, other = Image.fromarray(pixels).resize((120, 120), 0), Image.new("RGB", (50, 40), "grey")
    figure = figures.evidence(look, [look, other], ["the mug $1", "another"], right=[True, False])
    titles = [axes.get_title() for axes in figure.axes[1::2]]
    n = len([one for one in figure.findobj(ConnectionPatch) if one.axesB is figure.axes[1]])
    assert n > 10 and titles == [f"the mug $1: {n} inliers", "another: 0 inliers"]
    assert [axes.texts[-1].get_text() for axes in figure.axes[1::2]] == ["\N{CHECK MARK}", "\N{BALLOT X}"]
    assert figure.axes[0].get_xlim() == (0, 256), "drawn at the size at which keypoints were looked for"
    with pytest.raises(InputError, match="1 views and 2 names"):
        figures.evidence(look, [other], ["a", "b"])
