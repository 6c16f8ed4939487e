"""The reflector: candidates in turn, what is remembered, what it can't be asked, pairs, words of patches."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image

from foir_lib.memory.reflection import Reflector, content, patch_words, side_by_side


def picture(seed=0, size=(20, 10)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


@dataclass
class Model:
    """Stands for an image-text model: what it says of a question is written down, and what it was asked is kept."""

    odds: dict
    key: str = "model 1"
    calls: list = field(default_factory=list)
    unknown: tuple = ()
    reasons: list = field(default_factory=list)

    def ask_yes(self, pictures, questions):
        self.calls.append(list(zip(pictures, questions)))
        return np.array([self.odds[question] for question in questions], np.float32)

    def answer(self, picture, question, max_words):
        self.reasons.append(question)
        return "no, it has a handle"

    def lacks(self, text):
        return [word for word in text.split() if word.strip("?") in self.unknown]


MUG, CUP, CAN = (f"Does the picture show a {name}?" for name in ("mug", "cup", "can"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))


def test_a_no_moves_to_the_next_candidate():
    model = Model({MUG: -1.5, CUP: 0.25, CAN: 3.0})
    reflector = Reflector(model)
    assert reflector.reflect(picture(), ["mug", "cup", "can"]) == (1, [-1.5, 0.25])
    assert [question for call in model.calls for _, question in call] == [MUG, CUP], "nobody is asked about the third"
    assert Reflector(model, threshold=0.25).reflect(picture(), ["mug", "cup"]) == (None, [-1.5, 0.25])
    assert Reflector(model, threshold=-2).reflect(picture(), ["mug", "cup"]) == (0, [-1.5])
    assert reflector.reflect(picture(), []) == (None, [])


def test_what_was_said_of_the_same_pixels_is_remembered():
    model = Model({MUG: -1.5, CUP: 0.25, CAN: 3.0})
    first = Reflector(model).verify(picture(), ["mug", "cup"])
    again = Reflector(model)
    np.testing.assert_array_equal(again.verify(picture().copy(), ["cup", "mug"]), first[::-1])
    assert again.asked == 0 and len(model.calls) == 1
    again.verify(picture(), ["mug", "can"])
    assert again.asked == 1 and [question for _, question in model.calls[1]] == [CAN], "only what is new is asked"
    again.verify(picture(1), ["mug"])
    model.key = "model 2"
    again.verify(picture(), ["mug"])
    assert again.asked == 3, "other pixels and another model are asked"


def test_each_picture_with_its_own_name():
    model = Model({MUG: -1.5, CUP: 0.25})
    one, other = picture(0), picture(1)
    np.testing.assert_allclose(Reflector(model).verify_each([one, other], ["cup", "mug"]), [0.25, -1.5])
    assert model.calls[0] == [(one, CUP), (other, MUG)]


def test_pairs_show_two_pictures_or_one_of_both():
    same = "Do the two pictures show the same thing?"
    model, view, crops = Model({same: 2.0}), picture(0), [picture(1), picture(2)]
    assert Reflector(model).same(view, crops).tolist() == [2.0, 2.0]
    assert model.calls[0] == [((view, crops[0]), same), ((view, crops[1]), same)]
    assert Reflector(model).same(crops[0], view).shape == (1,) and len(model.calls) == 2, "the order of a pair is part of it"
    Reflector(model, joined=True).same(view, picture(1, (10, 20)))
    ((shown, _),) = model.calls[-1]
    assert shown.size == (20 + 1 + 5, 10)
    np.testing.assert_array_equal(np.asarray(side_by_side(view, crops[0]))[:, :20], np.asarray(view))


def test_properties_and_reasons():
    model = Model({"Is the colour of the thing blue?": -0.5})
    reflector = Reflector(model)
    assert reflector.has(picture(), "colour", "blue") == -0.5
    assert reflector.reason(picture(), "orange ring") == reflector.reason(picture(), "orange ring") == "no, it has a handle"
    assert model.reasons == ["Does the picture show an orange ring? Say why."] and reflector.asked == 2


def test_nobody_to_ask_and_names_without_words():
    nobody = Reflector()
    assert not nobody and np.isnan(nobody.verify(picture(), ["mug", "cup"])).all() and nobody.reason(picture(), "mug") is None
    index, odds = nobody.reflect(picture(), ["mug", "cup"])
    assert index == 0 and math.isnan(odds[0]), "nobody denies the first"
    reflector = Reflector(Model({MUG: -1.5}, unknown=("grue",)))
    assert reflector and reflector.lacks("grue mug") == ["grue"]
    odds = reflector.verify(picture(), ["mug", "grue"])
    assert odds[0] == -1.5 and math.isnan(odds[1])
    assert reflector.reflect(picture(), ["mug", "grue", "mug"])[0] == 1
    assert reflector.verify(picture(), []).shape == (0,)


def test_long_names_are_cut():
    model = Model({f"Does the picture show a {'x' * 200}?": 1.0})
    assert Reflector(model).verify(picture(), ["x" * 10_000]).tolist() == [1.0]


def test_content_is_size_and_pixels():
    flat = Image.new("RGB", (4, 2))
    assert content(flat) == content(flat.convert("L")) != content(Image.new("RGB", (2, 4)))
    assert content(picture(0)) != content(picture(1)) and len(content(flat)) == 64


class Tokens:
    """Two patches: the first says "mug" alone, the second "red" most, and all of them "the" by its length."""

    embedding = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 50.0], [1.0, 0, 0]])
    vocabulary = ["mug", "red", "the", "<image>"], torch.tensor([0, 1, 2])

    def vision_tokens(self, pictures):
        return torch.tensor([[[2.0, 0, 0.1], [0.1, 1.0, 0.5]]]).expand(len(pictures), -1, -1)


def test_words_of_patches():
    said = patch_words(Tokens(), picture(), k=2)
    assert [[word for word, _ in row] for row in said] == [["mug", "the"], ["red", "the"]]
    assert said[1][0][1] == pytest.approx(1 / 1.26**0.5)
    assert [row[0][0] for row in patch_words(Tokens(), picture(), k=1, unit=False)] == ["the", "the"]
