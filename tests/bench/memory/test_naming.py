"""The model names things by itself: answers matched by hand, labels cut, and models that know, read the list, or say nothing."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foir_lib.bench.memory import judged, naming, reflection
from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.errors import InputError
from foir_lib.memory.reflection import Reflector
from foir_lib.models.text_image import load_text_image
from foir_lib.prompts import Box

NAMES = ["ring", "ring on land", "red star", "star"]


@pytest.mark.parametrize(
    ("answer", "first", "last"),
    [
        ("A ring on land.", 1, 1), ("It is a ring, no: a red star!", 0, 2), ("red  STAR", 2, 2), ("starring", -1, -1), ("", -1, -1),
        ("ring on land, then star, then ring", 1, 0), ("no, it shows a star", 3, 3), ("a red one", -1, -1),
    ],
)  # fmt: skip
def test_which_label_an_answer_names(answer, first, last):
    assert (naming.match(answer, NAMES), naming.match(answer, NAMES, last=True)) == (first, last)


def test_labels_are_text_and_no_pattern():
    assert naming.match("it is a c++ mug", ["a.c", "c++ mug"]) == 1 and naming.match("abc", ["a.c", "?"]) == -1 and naming.match("a", ["?"]) == -1
    assert naming.match("the 2 cups", ["two cups"]) == 0, "as answers of other questions are compared"


@given(n=st.integers(2, 30), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_cut_labels_are_different_ones_and_hold_the_true_one(n, share, seed):
    k, truth = max(1, round(share * n)), np.arange(n)
    choices = naming.cut(truth, n, k, np.random.default_rng(seed))
    assert choices.shape == (n, k) and choices.min() >= 0 and choices.max() < n
    assert all(true in row and len(set(row)) == k for true, row in zip(truth, choices.tolist()))


def test_the_true_one_stands_anywhere_in_a_cut_list():
    places = [row.index(0) for row in naming.cut(np.zeros(600, int), 24, 20, np.random.default_rng(0)).tolist()]
    assert np.bincount(places, minlength=20).min() > 10 and len(set(places)) == 20


class Drawn:
    """Views of 24 things whose pictures are of one colour that tells the thing, and of another that tells the view."""

    def __init__(self, n=24, k=8, seed=0):
        rng = np.random.default_rng(seed)
        self.labels, self.pictures = np.repeat([f"thing {i:02d}x" for i in range(n)], k), np.arange(n * k)
        x = np.repeat(rng.normal(size=(n, 24)), k, 0) + 1.6 * rng.normal(size=(n * k, 24))
        self.x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    def vectors(self, retriever):
        return self.x

    def picture(self, row):
        return Image.new("RGB", (8, 8), (int(self.labels[row][-3:-1]), row % 256, 0))

    def box(self, row):
        return Box(0, 0, 8, 8)


@dataclass
class Model:
    """Stands for an image-text model. It says yes to the picture's own thing, knows its name, and reads at most ``letters``."""

    letters: int = 10_000
    knows: bool = True
    key: str = "model"
    unknown: tuple = ()
    questions: list = field(default_factory=list)

    def truth(self, picture):
        return f"thing {picture.getpixel((0, 0))[0]:02d}x"

    def ask_yes(self, pictures, questions):
        return np.array([1.0 if self.knows and self.truth(picture) in question else -1.0 for picture, question in zip(pictures, questions)])

    def answer(self, picture, question, max_words):
        self.questions.append((question, max_words))
        if question == "What does the picture show?":
            return self.truth(picture) if self.knows else "nobody knows"
        listed = question.replace(".", ",").replace("Choose one from ", ",").replace("Rank the ", ",").replace(" from most", ",").split(",")
        names = [name.strip() for name in listed if "thing" in name]
        return f"{names[0]}? no. so: {names[-1]}"  # it reads, and doesn't look

    def lacks(self, text):
        return [word for word in text.split() if word.strip("?.,") in self.unknown]

    def check_length(self, picture, question, max_words=0):
        if len(question) > self.letters:
            raise InputError(f"The question takes {len(question)} letters.")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))


def lines(model, views=None, seed=0):
    views, reflector = views or Drawn(), Reflector(model)
    reflected = reflection.reflect(views, None, reflector, seed=seed)
    return naming.named(views, None, reflector, reflected, seed=seed), reflected


def accuracy(block):
    return {name: line.score.metrics[ACCURACY] for name, line in block.items() if line.score}


def test_each_way_is_asked_on_the_same_views_and_who_knows_names_all():
    model = Model(unknown=("Rank", "image"))
    blocks, reflected = lines(model)
    assert list(blocks) == ["80 views", "80 views, labels cut to 20"], "24 labels: nothing is cut to 100"
    whole, few = blocks.values()
    assert list(whole) == list(few) == ["encoder alone", "reflection on all", "reflection where unsure", *naming.WAYS, naming.EACH]
    units = [line.score.per_query["unit"].tolist() for block in blocks.values() for line in block.values()]
    assert all(one == units[0] for one in units) and len(units[0]) == 80
    for block in blocks.values():
        right = accuracy(block)
        assert right["model names alone, without a list"] == right[naming.EACH] == 1 > right["encoder alone"]
        assert right["reflection on all"] > right["encoder alone"]
    assert accuracy(few)["encoder alone"] >= accuracy(whole)["encoder alone"], "where few compete nobody loses"
    assert whole[naming.EACH].note == "by chance 4.2 %" and few[naming.EACH].note == "by chance 5.0 %"
    assert whole["model ranks the list"].note == "by chance 4.2 %; unknown words: Rank, image"


def test_the_encoder_and_reflection_are_those_of_all_views_on_a_sample():
    views = Drawn(k=6)  # three of each ask: 72 views, so all of them
    blocks, reflected = lines(Model(), views)
    block, every = blocks["72 views"], np.ones(72, bool)
    for name, wanted in (
        ("encoder alone", reflected.first), ("reflection on all", reflected.reflected(every)), ("reflection where unsure", reflected.reflected(reflected.controlled()))
    ):  # fmt: skip
        np.testing.assert_array_equal(block[name].score.per_query[ACCURACY].to_numpy(), wanted.astype(float))


def test_a_list_is_read_in_the_order_it_was_given_and_step_by_step_to_its_end():
    """Who always takes the list's first, or in the end its last, is right as often as chance, since the list is in random order."""
    model = Model()
    whole, few = lines(model)[0].values()
    asked = [question for question, words in model.questions if "step-by-step" in question]
    assert len(asked) == 160 and sum(question.count("thing") for question in asked[80:]) == 80 * 20
    assert {words for question, words in model.questions if "step-by-step" in question} == {60}
    for block in (whole, few):
        for name in ("model names alone, from a list", "model names alone, from a list, step by step", "model ranks the list"):
            assert accuracy(block)[name] < 0.2, name
    truth = whole["encoder alone"].score.per_query["label"].to_numpy()
    concluded = [question.split(".")[0].split(", ")[-1].strip() for question in asked[:80]]
    right = whole["model names alone, from a list, step by step"].score.per_query[ACCURACY].to_numpy()
    np.testing.assert_array_equal(right, (np.array(concluded) == truth).astype(float))


def test_who_says_no_label_is_wrong_and_it_is_told():
    block = lines(Model(knows=False))[0]["80 views"]
    assert accuracy(block)["model names alone, without a list"] == 0
    assert block["model names alone, without a list"].note == "by chance 4.2 %; 80 of 80 answers name no label"
    assert accuracy(block)[naming.EACH] < 0.2, "all labels are equally likely, so the list's first is taken"


def test_labels_without_words_are_never_the_likeliest():
    block = lines(Model(unknown=("03x",)))[0]["80 views"]
    each = block[naming.EACH].score.per_query
    assert (each[ACCURACY] == (each["label"] != "thing 03x")).all() and "1 labels have unknown words" in block[naming.EACH].note
    silent = lines(Model(unknown=("thing",)))[0]["80 views"][naming.EACH]
    assert silent.score.metrics[ACCURACY] == 0 and silent.note == "by chance 4.2 %; 80 of 80 answers name no label; 24 labels have unknown words"


def test_a_list_that_is_too_long_is_no_score_but_a_reason():
    model = Model(letters=285)
    blocks = lines(model)[0]
    whole, few = blocks.values()
    ways = list(naming.WAYS)[1:]
    assert not any(whole[name].score for name in ways) and all(few[name].score for name in ways)
    assert whole[ways[0]].note.startswith("with 24 labels: The question takes 29") and accuracy(whole)["model names alone, without a list"] == 1
    rows = judged._named("Crop", blocks)
    row = next(row for row in rows if row["method"] == ways[0])
    assert row["ours"] is None and row["metric"] == "accuracy (Crop, 80 views)" and row["note"].startswith("with 24 labels")
    assert len(rows) == 16 and all("95 % interval" in row["note"] for row in rows if row["ours"] is not None)
    assert all("low" in row for row in rows if row["ours"] is not None and row["method"] != "encoder alone")


def test_the_same_seed_asks_the_same():
    one, two = Model(), Model(key="another")
    assert accuracy(lines(one)[0]["80 views"]) == accuracy(lines(two)[0]["80 views"]) and one.questions == two.questions


def test_mini_lmm_reads_so_many_tokens_and_no_more():
    model, look = load_text_image("mini-lmm", "cpu"), Image.new("RGB", (32, 32))
    most = model.net.config.text_config.max_position_embeddings
    room = most - model.processor(images=[look], text=[model.prompt("")], return_tensors="pt")["input_ids"].shape[1]
    model.check_length(look, " ".join(["ring"] * room))
    with pytest.raises(InputError, match=f"takes {most + 1} tokens with its answer: the model reads at most {most}"):
        model.check_length(look, " ".join(["ring"] * (room + 1)))
    with pytest.raises(InputError, match=f"{most + 2} tokens"):
        model.check_length(look, " ".join(["ring"] * room), 1)
