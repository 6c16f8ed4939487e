"""Cases of reflection: who was tried in which order, which is true, and why."""

import pytest
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.view.figures.memory.cases import Case, reflections
from foir_lib.view.figures.parts import VERDICTS


def texts(figure):
    return [" ".join(text.get_text().split()) for axes in figure.axes for text in axes.texts]


def test_each_case_tells_whom_was_tried_and_frames_its_last():
    look = Image.new("RGB", (30, 20), "red")
    right = Case(look, [("blue mug", -2.0), ("red mug", 1.5)], "red mug", "no , it shows a red mug")
    lost = Case(look, [("red mug", 0.4), ("red cup", 2.0)], "red mug")
    figure = reflections([right], [lost], title="cases")
    (_, yes), (_, no) = VERDICTS[True], VERDICTS[False]
    assert texts(figure) == [
        yes, f"{no} blue mug: -2.0", f"{yes} red mug: +1.5, taken", "why? “no , it shows a red mug”",
        no, f"{yes} red mug: +0.4", f"{no} red cup: +2.0, taken",
    ]  # fmt: skip
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["put right", "spoilt"] and figure.get_suptitle() == "cases"


def test_more_of_one_than_of_the_other_and_none_at_all():
    look = Image.new("RGB", (8, 8))
    figure = reflections([Case(look, [("a", 1.0)], "a")] * 3, [])
    assert len(figure.axes) == 6
    with pytest.raises(InputError, match="no case to show"):
        reflections([], [])
