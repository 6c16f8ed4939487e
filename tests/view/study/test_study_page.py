"""The study's page: a person's way through it, a stopped one that goes on, outlines of right and wrong pictures alike."""

import html
import io
import re

import numpy as np
import pandas as pd
import pytest
import tiny as small
from PIL import Image

from foir_lib import load_set
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.retrievers.corpus import Corpus
from foir_lib.text import percent, points
from foir_lib.view.explorers.page import Page
from foir_lib.view.study.page import Study, outlined_copy, true_outline
from foir_lib.view.study.protocol import plan


@pytest.fixture(scope="module")
def corpus(drawn, tmp_path_factory):
    things = drawn(lambda: load_set("mini-landmarks", seed=2, n_landmarks=18, n_queries=18, n_database=72))
    return Corpus(things, small.vit(), cache=tmp_path_factory.mktemp("study"), progress=False)


def opened(image):
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(int)


def test_a_person_goes_through_stops_and_goes_on(corpus, tmp_path):
    study = Study(corpus, tmp_path / "study.csv")
    assert study.state["question"] is None and not study.picks.images and study.state["people"] == ""
    person = study.begin()
    order = plan(study.group)
    for number, outlined in order[:3]:
        assert (study.state["question"], study.state["outlined"]) == (number, outlined)
        question = study.questions[number]
        assert study.picks.n == 3 and len(study.picks.images) == 12
        study.picks.receive({"picks": sorted(question.true), "seconds": 5.0 + number})
    study.picks.receive({"picks": [0, 1], "seconds": 5.0})
    assert study.state["note"] == "2 pictures are picked: pick exactly 3." and study.state["answered"] == 3
    for nonsense in ({}, {"picks": "012", "seconds": 3}, {"picks": [0, 1, 99], "seconds": 3}, {"picks": [0, 1, 2], "seconds": "x"}):
        study.picks.receive(nonsense)
    assert study.state["answered"] == 3 and study.state["people"] == "", "while somebody is asked"
    study.close()
    again = Study(corpus, tmp_path / "study.csv")
    assert "human100 %33human, with" in again.state["people"]
    with pytest.raises(InputError, match="Nobody has answered as"):
        again.begin("ffffffff")
    assert again.begin(person) == person and again.state["question"] == order[3][0]
    for number, _ in order[3:]:
        again.answer(sorted(again.questions[number].true)[:2] + [min(set(range(12)) - again.questions[number].true)], 9.0)
    assert again.state["question"] is None and again.state["text"].startswith("Did outlines help")
    with pytest.raises(InputError, match="No question is open"):
        again.answer([0, 1, 2], 1.0)
    again.grade(6)
    assert again.state["text"] == "Thank you."
    table = again.results().set_index("what")
    assert table.loc["precision of picks, %", "ours"] == pytest.approx(100 * (3 * 3 + 13 * 2) / 48) and table.loc["helpful, 1 to 7", "ours"] == 6
    rows = again.beside(["CBIR"])
    assert rows["method"].tolist() == ["human", "human, with outlines", "human, without outlines", "CBIR"] and rows["n"].tolist() == [16, 8, 8, 16]
    assert rows["ours"].iloc[0] == pytest.approx(100 * (3 * 3 + 13 * 2) / 48) and 0 <= rows["ours"].iloc[3] <= 100


def test_outlines_stand_on_all_candidates_or_on_none(corpus, tmp_path):
    study = Study(corpus, tmp_path / "study.csv")
    question = study.questions[0]
    query, plain = study.pictures(question, False)
    same, outlined = study.pictures(question, True)
    assert query == same
    for at, (one, other) in enumerate(zip(plain, outlined, strict=True)):
        answer = true_outline(corpus.set, question.drawn_for[at], question.candidates[at])
        changed = np.abs(opened(one) - opened(other)).max(2) > 60
        assert answer.mask is not None and changed.sum() > 20
        edge = answer.pixels() & ~np.roll(answer.pixels(), 1, 0)
        assert changed[edge].mean() > 0.5, "along its border"


def test_an_outline_is_black_and_yellow_and_a_picture_without_stays():
    picture = Image.new("RGB", (600, 300), (90, 90, 90))
    mask = np.zeros((300, 600), bool)
    mask[100:200, 200:400] = True
    drawn = np.asarray(outlined_copy(picture, Localisation.of(mask, 1.0)))
    assert drawn.shape == (240, 480, 3)
    ys, xs = np.nonzero((drawn != 90).any(2))
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == pytest.approx((160, 319, 80, 159), abs=3) and (drawn[100:140, 200:280] == 90).all()
    assert {(0, 0, 0), (255, 221, 0)} <= {tuple(pixel) for pixel in drawn[ys, xs].tolist()}
    assert (np.asarray(outlined_copy(picture, Localisation.nothing())) == 90).all()


def test_it_is_a_tab_of_the_page_and_says_what_it_lacks(corpus, town):
    page = Page(corpus, tabs=["Study"])
    assert page.explorer is not None and page.state["note"] == "" and "16 questions" in page.explorer.state["text"]
    assert "things have 3 pictures" in Study.lacks(town.corpus)
    page.close()


def test_people_stand_beside_methods_on_the_page(corpus, tmp_path):
    study = Study(corpus, tmp_path / "study.csv")
    with pytest.raises(InputError, match="Nobody has answered yet"):
        study.compare()
    study.begin()
    for number, _ in plan(study.group):
        study.answer(sorted(study.questions[number].true), 4.0)
    assert study.state["people"].startswith("who picks") and "CBIR" not in study.state["people"]
    (methods,) = (one for one in descendants(study) if getattr(one, "description", "") == "methods")
    (button,) = (one for one in descendants(study) if getattr(one, "description", "") == "compare")
    assert methods.value.startswith("CBIR, PHS, CBIR > ")
    methods.value = "CBIR, CBIR > SP"
    button.click()
    rows = study.beside(["CBIR", "CBIR > SP"]).set_index("method")
    (page,) = (one.value for one in descendants(study) if "<table" in str(getattr(one, "value", "")))
    heads, *lines = [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t", line)] for line in re.findall("<tr>(.*?)</tr>", page)]
    shown = pd.DataFrame(lines, columns=heads).set_index("who picks")
    assert shown.index.tolist() == ["human", "human, with outlines", "human, without outlines", "CBIR", "CBIR > SP"]
    assert shown["right, of three picks"].tolist() == [percent(value / 100) for value in rows["ours"]] and shown["questions"].tolist() == ["16", "8", "8", "16", "16"]
    for name in ("CBIR", "CBIR > SP"):
        ours, low, high = rows.loc[name, ["ours", "low", "high"]]
        assert shown.loc[name].iloc[1] == f"{points((ours - 100) / 100)} points ({points(low / 100)} to {points(high / 100)})"
    before = study.state["people"]
    methods.value = "<img src=x onerror='hit()'>"
    button.click()
    assert "no retriever" in study.state["note"] and study.state["people"] == before
    other = Study(corpus, tmp_path / "study.csv", seed=1)
    assert "take the set and the seed that people were asked with" in other.state["people"]


def descendants(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from descendants(child)
