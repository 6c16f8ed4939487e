"""The drawing of a Vision Transformer: its parts, and which heads are switched off."""

import pytest
from matplotlib.text import Text
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.view.figures import lessons

PICTURE = Image.new("RGB", (60, 40), "red")


def words(figure):
    return [one.get_text() for one in figure.findobj(Text) if one.get_text()]


def test_all_parts_are_named_and_as_many_as_the_network_has():
    told = words(lessons.vision_transformer(PICTURE, (8, 8), 4, 12))
    assert {"CLS", "patch 0", "patch 63", "8 x 8 patches", "blocks\n1 to 3", "$W_o$", "LN\nFFN", "descriptor"} <= set(told)
    assert [t.split(":")[0] for t in told if t.startswith("head ")] == ["head 0", "head 1", "head 2", "head 11"]
    assert any(t.startswith("block 4, the last one") for t in told) and sum("residual" in t for t in told) == 2
    few = words(lessons.vision_transformer(PICTURE, (2, 3), 1, 2))
    assert "patch 5" in few and not any(t.startswith("blocks") for t in few)
    assert [t.split(":")[0] for t in few if t.startswith("head ")] == ["head 0", "head 1"]


def test_heads_that_are_switched_off_carry_a_cross():
    for kept, off in ((None, 0), ((0, 1, 2, 11), 0), ((1, 5), 3), ((), 4)):
        assert words(lessons.vision_transformer(PICTURE, (8, 8), 4, 12, kept)).count("×") == off
    with pytest.raises(InputError, match="heads 0 to 11"):
        lessons.vision_transformer(PICTURE, (8, 8), 4, 12, (12,))
    with pytest.raises(InputError):
        lessons.vision_transformer(PICTURE, (8, 8), 0, 12)


def test_all_words_lie_on_the_figure():
    figure = lessons.vision_transformer(PICTURE, (14, 14), 12, 12)
    figure.canvas.draw()
    page = figure.bbox
    for one in figure.findobj(Text):
        box = one.get_window_extent()
        assert not one.get_text() or (page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1), one
