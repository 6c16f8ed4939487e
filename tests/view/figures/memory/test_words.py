"""The figure of reverse embedding: each patch's first word where the patch is."""

import pytest
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.view.figures.memory import words


def said(*firsts):
    return [[(word, score), ("other", score - 0.1)] for word, score in firsts]


def test_each_patch_says_its_first_word_where_it_is():
    picture = Image.new("RGB", (60, 40))
    figure = words.patch_words(picture, said(("sea", 0.2), ("red", 0.9), ("disc", 0.8), ("day", -0.1), ("day", 0.3), ("sky", 0.4)), (2, 3), title="words")
    (right,) = [axes for axes in figure.axes if axes.texts]
    places = {text.get_text(): text.get_position() for text in right.texts}
    assert places == {"sea": (10, 10), "red": (30, 10), "disc": (50, 10), "day": (30, 30), "sky": (50, 30)}, "-0.1 says nothing"
    assert figure.get_suptitle() == "words" and any("cosine" in axes.get_ylabel() for axes in figure.axes)


def test_a_grid_that_isnt_filled_is_told():
    with pytest.raises(InputError, match="5 patches don't fill a grid of 2 x 2"):
        words.patch_words(Image.new("RGB", (8, 8)), said(*[("a", 1.0)] * 5))
