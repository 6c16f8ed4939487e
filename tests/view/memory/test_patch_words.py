"""The words of patches by hand: which patch a click takes, what it says, what lies off."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.view.memory.words import PatchWords

MODEL = SimpleNamespace(
    vocabulary=(["sea", "<pad>", "red", "star"], torch.tensor([0, 2, 3])), embedding=torch.eye(4),
    vision_tokens=lambda pictures: torch.tensor([[[3.0, 9.0, 0, 4.0], [0, 0, 1, 0], [0, 0, 0, 2.0], [1.0, 0, 0, 0]]]),
)  # fmt: skip


def test_a_click_keeps_the_patch_under_it_and_reads_its_words():
    widget = PatchWords(Image.new("RGB", (40, 20)), MODEL, k=2)
    assert widget.grid == (2, 2) and widget.at == -1 and "none kept" in repr(widget)
    assert [word for word, _ in widget.look(10, 5)] == ["star", "sea"], "special tokens are no words"
    assert widget.look(39.9, 0)[0] == ("red", 1.0) and widget.at == 1
    assert widget.look(0, 19)[0] == ("star", 1.0) and widget.at == 2
    assert {text.get_text() for axes in widget.figure().axes for text in axes.texts} == {"star", "red", "sea"}


def test_what_lies_off_the_picture_is_told():
    widget = PatchWords(Image.new("RGB", (40, 20)), MODEL, k=1)
    with pytest.raises(InputError, match=r"Point \(40, 3\) lies off the picture: it has 40 x 20 pixels"):
        widget.look(40, 3)
    with pytest.raises(InputError, match="no patch 4: this picture has 4"):
        widget.at = 4
    assert widget.at == -1
    with pytest.raises(InputError, match="4 patches don't fill a grid of 3 x 2"):
        PatchWords(Image.new("RGB", (8, 8)), MODEL, k=1, grid=(3, 2))
