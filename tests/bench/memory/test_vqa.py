"""Questions with known truth, names handed over, words in a picture's place: by hand, and with models that read or look."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from foir_lib.bench.memory import vqa
from foir_lib.bench.memory.connector import Named
from foir_lib.bench.memory.vqa import AGREES, RIGHT
from foir_lib.prompts import Box

LABELS = ["plain red disc by day", "plain red disc by day", "striped red star on water"]


class Drawn:
    """Three pictures with two discs at the left and a star at the bottom right; the third lacks the star."""

    labels = np.array([*LABELS, *LABELS, *LABELS[:2]])
    pictures = np.repeat([0, 1, 2], [3, 3, 2])

    def box(self, m):
        return (Box(0, 0, 10, 10), Box(0, 40, 10, 50), Box(80, 80, 100, 100))[m % 3]

    def picture(self, m):
        return Image.new("RGB", (100, 100), (int(self.pictures[m]), 0, 0))


def test_questions_and_their_truth_by_hand():
    asked = vqa.questions(Drawn(), seed=3)
    for one in asked:
        star = one.unit < 2
        if one.kind == "where":
            assert (one.text, one.answer) == ("Where is the star?", "bottom right") and star
        if one.kind == "how many":
            assert one.answer == {"discs": "two", "stars": "one"}[one.text.split()[2]] and (star or "discs" in one.text)
        if one.kind == "is there":
            assert (one.answer == "yes") == any(name in one.text for name in one.names)
        if one.kind == "what":
            assert one.names == (one.answer,) and one.picture.size != (100, 100) and len(one.regions) == 1
        else:
            assert one.picture.size == (100, 100) and len(one.regions) == 2 + star
    kinds = [one.kind for one in asked]
    assert [kinds.count(kind) for kind in vqa.KINDS] == [3, 2, 3, 4], "where: two pictures with one star; all names of the others are there"
    assert [one.text for one in vqa.questions(Drawn(), seed=3)] == [one.text for one in asked] and len(vqa.questions(Drawn(), 1)) < len(asked)


@pytest.mark.parametrize(
    ("label", "called", "noun"),
    [("ball 06a", "ball", "ball"), ("lilac palace 01b", "lilac palace", "palace"), ("traffic light", "traffic light", "traffic light"), (LABELS[2], LABELS[2], "star")],
)
def test_what_of_a_label_can_be_seen(label, called, noun):
    assert (vqa.called(label), vqa.noun(label)) == (called, noun)


def test_answers_are_compared_word_by_word():
    assert vqa.plain("A plain red disc , by day.") == "plain red disc by day" and vqa.plain("2") == "two" and vqa.plain("Yes, it does") == "yes it does"
    assert vqa.plain("the") == "the" and vqa.plain("") == ""


class Reads:
    """Says the first name that it is handed, else "nothing"; counts what it is asked."""

    def __init__(self):
        self.asked = []

    def answer(self, picture, text, most):
        self.asked.append((picture, text))
        return text.split(": ")[1].split(".")[0].split(",")[0] if "Names in picture" in text else "nothing"


def test_names_are_handed_over_and_nothing_is_asked_twice():
    asked = [one for one in vqa.questions(Drawn(), seed=3) if one.kind == "what"]
    truth = np.array([one.answer for one in asked])
    known = SimpleNamespace(name=lambda regions: Named(np.array([truth, [""] * 3]), np.array([truth, truth]), np.array([0, 0, -1])))
    known.domains = [SimpleNamespace(name=name, encoder=SimpleNamespace(name="net")) for name in ("own", "other")]
    model = Reads()
    scores = {name: one.metrics[RIGHT] for name, one in vqa.vqa(model, asked, known)["what"].items()}
    assert scores["the picture alone"] == scores["the question alone"] == scores["with names by net of other"] == 0
    assert scores["with names by net of own"] == scores["with true names"] == 1
    assert scores["with names, joined"] == scores["names alone, joined"] == pytest.approx(2 / 3), "the third is nobody's"
    assert scores["always the commonest answer"] == np.unique(truth, return_counts=True)[1].max() / 3
    assert len(model.asked) == len({(id(picture) if picture else 0, text) for picture, text in model.asked}), "what was said is known"


class Sees:
    """Its patches say the word of a picture's shade; asked about a picture or handed words, it answers with the word said most."""

    words = ["dark", "light", "grey"]
    processor = SimpleNamespace()
    vocabulary = (words, torch.tensor([0, 1, 2]))
    embedding = torch.eye(3)

    def vision_tokens(self, pictures):
        return torch.stack([torch.eye(3)[[self._shade(picture)] * 4] for picture in pictures])

    def _shade(self, picture):
        return picture.getpixel((0, 0))[0] % 3

    def answer(self, picture, text, most):
        if picture:
            return self.words[self._shade(picture)]
        counts = [text.split().count(word) for word in self.words]
        return self.words[int(np.argmax(counts))] if any(counts) else ""


def test_words_of_the_patches_keep_answers_and_others_do_not():
    scores = {name: one.metrics[AGREES] for name, one in vqa.replacement(Sees(), [one for one in vqa.questions(Drawn()) if one.kind == "how many"])["how many"].items()}
    assert scores["words of its patches"] == 1 and scores["nothing"] == 0 and scores["words of another picture"] == 0
