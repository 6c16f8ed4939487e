"""The explorer Talk without a browser: what was said and written, evidence that opens, the quiz, and names that mean harm."""

from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hostile import NAMES
from PIL import Image
from tiny import World

from foir_lib import Box, Memory
from foir_lib.data.checks import plain
from foir_lib.errors import InputError
from foir_lib.memory.database import tables
from foir_lib.memory.recogniser import UNSURE
from foir_lib.text import SENTENCE, one_line
from foir_lib.view.memory.talk import ANSWERS, EXAMPLE, WELCOME, TalkExplorer


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A world of this file's own, whose pictures it may delete."""
    return World(tmp_path_factory.mktemp("small"))


@pytest.fixture
def make(small, tmp_path):
    """Explorers on one memory of the test's own, closed at the end; ``make(corpus, ...)``: another corpus."""
    explorers = []

    def make(corpus=None, **options):
        options = {"memory": tmp_path / "things.db", "objects": "boxes"} | options
        explorers.append(TalkExplorer(corpus or small.experiment("vit").corpus, **options))
        return explorers[-1]

    yield make
    for explorer in explorers:
        explorer.close()


def marked(explorer, i):
    """Marks the annotated object ``i`` of the set."""
    one = explorer.corpus.set.objects.iloc[i]
    explorer.ask(Box(one.x0, one.y0, one.x1, one.y1), one.image_id)


@pytest.fixture
def talk(make):
    """An explorer that knows two things of three views each."""
    explorer = make()
    for i in range(6):
        marked(explorer, i)
        explorer.say(f"this is the {('cup', 'mug')[i % 2]}")
    return explorer


def views(explorer):
    return {thing.name: len(thing.views) for thing in explorer.memory.things()}


def test_what_is_marked_is_named_and_the_page_says_so(make):
    explorer = make()
    assert explorer.words.text == WELCOME and explorer.state["said"] == [] == explorer.state["things"]
    assert explorer.summary == "0 things remembered" and explorer.line.placeholder == EXAMPLE
    marked(explorer, 2)
    box, image_id = explorer.canvas.asks, explorer.panel.image_id
    assert explorer.say("this is the lab's mug").kind == "done"
    (thing,) = explorer.memory.things()
    (view,) = thing.views
    assert thing.name == "the lab's mug" and Box(*view.box) == box and view.who == "human"
    assert Path(view.path).samefile(explorer.corpus.set.images.set_index("image_id")["path"][image_id]), "it knows the file"
    assert explorer.summary == "1 thing remembered" and explorer.state["things"] == [thing.name]
    (sentence, answer, kind), = explorer.state["said"]
    assert sentence == "this is the lab's mug" and kind == "done" and answer in explorer.words.text


def test_a_line_of_the_browser_and_a_button_say_the_same_and_the_line_is_ready_again(talk):
    marked(talk, 0)
    before = talk.line.answered
    talk.line.receive({"say": "what is this?"})
    assert talk.line.answered == before + 1 and talk.state["said"][-1][0] == "what is this?"
    button = next(b for b in talk.children[0].children[1].children[1].children if getattr(b, "description", "") == "What is this?")
    button.click()
    assert talk.line.answered == before + 2 and talk.state["said"][-1] == talk.state["said"][-2]
    for nothing in ({"say": "  "}, {"say": 3}, {"pick": 0}, {}):
        talk.line.receive(nothing)
    assert talk.line.answered == before + 2


def test_evidence_of_an_answer_is_outlined_and_opens(talk):
    reply = talk.say("where is the mug?")
    assert len(talk.evidence) == len(reply.results) == len(talk.state["rows"][0]["keys"]) == len(talk.gallery.outlines[0])
    for hit, outline in zip(talk.evidence, talk.gallery.outlines[0], strict=True):
        assert outline["kind"] == ("unknown" if hit.recognition.verdict == UNSURE else "right")
        x, y = np.reshape(outline["paths"][0], (-1, 2)).T
        assert (x.min(), y.min(), x.max(), y.max()) == pytest.approx((hit.box.x0, hit.box.y0, hit.box.x1, hit.box.y1), abs=2)
    last = talk.evidence[-1]
    for message in ({"pick": len(talk.evidence) - 1}, {"pick": len(talk.evidence) - 1, "outline": True}):
        marked(talk, 0)
        talk.gallery.receive(message)
        assert talk.panel.image_id == last.image_id and str(talk.canvas.asks) == str(talk.album.region(last.row))


@pytest.mark.parametrize("sentence", ["what is this?", "where is the mug?", "how many mugs are there?", "show me everything", "what do you know about the mug?", "the mug"])
def test_every_answer_about_things_carries_outlines_on_their_pictures(talk, sentence):
    marked(talk, 2)
    reply = talk.say(sentence)
    assert reply.results and talk.evidence and len(talk.gallery.outlines[0]) == len(talk.evidence)
    for one, outline in zip(talk.evidence, talk.gallery.outlines[0], strict=True):
        box = one.box if isinstance(one.box, Box) else Box(*one.box)
        x, y = np.reshape(outline["paths"][0], (-1, 2)).T
        assert (x.min(), y.min(), x.max(), y.max()) == pytest.approx((box.x0, box.y0, box.x1, box.y1), abs=2) and tuple(outline["size"]) != (box.x1 - box.x0, box.y1 - box.y0)


def test_a_no_in_a_quiz_is_not_asked_again_and_the_word_alone_begins_one(talk):
    assert talk.say("quiz").question.startswith("Is that") and talk.state["said"][-1][0] == "quiz"
    hit, before = talk._quiz.hit, len(talk.memory.history(None))
    thing = hit.recognition.candidates[0].thing
    assert talk.say("n").text == f"Not {thing.name}, then." and len(talk.memory.history(None)) == before + 1
    talk.say("skip")
    assert len(talk.memory.history(None)) == before + 1
    talk.say("stop")
    assert thing.id not in [h.recognition.candidates[0].thing.id for h in talk.album.quiz(100) if h.row == hit.row]


def test_a_view_opens_in_its_picture_and_as_its_crop_where_that_was_deleted(talk):
    talk.say("show me everything")
    (cup, mug), picture = talk.evidence, Path(talk.evidence[1].path)
    talk.open_evidence(0)
    assert talk.panel.image_id == "p3" and str(talk.canvas.asks) == str(Box(*cup.box))
    kept = picture.read_bytes()
    picture.unlink()
    try:
        talk.open_evidence(1)
        assert talk.panel.image_id is None and talk.canvas.picture.size == (32, 24), "the crop that was kept"
        with talk.memory.journal.engine.begin() as connection:
            connection.execute(sa.update(tables.crops).where(tables.crops.c.view == mug.id).values(png=b""))
        talk.gallery.receive({"pick": 1})
        assert "show the thing again" in talk.state["message"] and talk.state["error"]
        talk.show()
        assert talk.state["rows"][0]["captions"][1].endswith("the picture is gone")
        found = talk.say("where is the mug?")
        assert found.kind == "answer" and any("is gone" in caption for caption in talk.state["rows"][0]["captions"])
        gone = [plain(hit.image_id) for hit in talk.evidence].index("p4")
        assert talk.gallery.outlines[0][gone] is None
        with pytest.raises(Exception, match=picture.name):
            talk.open_evidence(gone)
        assert talk.state["error"] and views(talk) == {"the cup": 3, "the mug": 3}, "nothing is lost"
    finally:
        picture.write_bytes(kept)


def test_nothing_marked_is_asked_back_and_an_own_photograph_is_named(talk):
    own = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    talk.ask(None, own)
    assert talk.say("this is my desk").question == "Is it the whole picture?" and "my desk" not in views(talk)
    assert talk.say("yes").kind == "done" and views(talk)["my desk"] == 1
    talk.ask(Box(5, 5, 30, 30), own)
    talk.say("this is the stapler")
    view = talk.memory.thing("stapler").views[0]
    assert view.path is None and view.size == (70, 50) and view.box == (5, 5, 30, 30)
    talk.say("what do you know about the stapler?")
    talk.open_evidence(0)
    assert talk.canvas.picture.size == (25, 25), "of a picture without a file the crop is left"


def test_a_name_that_exists_twice_is_asked_back_and_never_guessed(talk):
    talk.memory.rename(talk.memory.thing("cup"), "the mug")
    marked(talk, 7)
    before = views(talk), len(talk.memory.history(None))
    reply = talk.say("this is the mug")
    assert reply.kind == "question" and "Which" in reply.text and len(talk.memory.history(None)) == before[1]
    talk.quiz()
    asked = talk.state["quiz"]
    refused = talk.say("the mug")
    assert refused.kind == "refused" and talk.state["quiz"] == asked and len(talk.memory.history(None)) == before[1]
    assert talk.state["said"][-1][1].startswith("Is that"), "and asked again"


def test_a_quiz_is_answered_by_yes_no_and_names(talk):
    talk.quiz()
    hit, left, known = talk._quiz.hit, talk.state["quiz"], views(talk)
    first = hit.recognition.candidates[0].thing.name
    assert talk.state["said"][-1] == ["quiz", talk._quiz.question.text, "question"] and talk.line.placeholder == ANSWERS
    assert talk.evidence == [hit, hit.recognition.candidates[0].view]
    assert talk.panel.image_id == hit.image_id and str(talk.canvas.asks) == str(talk.album.region(hit.row)), "it stands on the canvas"
    assert talk.say("y").kind == "done" and views(talk) == known | {first: known[first] + 1}
    added = talk.memory.thing(first).views[-1]
    assert added.box == pytest.approx((hit.box.x0, hit.box.y0, hit.box.x1, hit.box.y1), abs=1) and added.who == "human" and talk.state["quiz"] == left - 1
    talk.say("undo")
    assert views(talk) == known and talk.state["said"][-1][0] == "" and talk.state["said"][-1][1].startswith("Is that")
    reply = talk.say("teapot")
    assert "Is “teapot” its name?" in reply.text and views(talk) == known
    assert talk.say("n").text == "All right, nothing was written." and talk.state["quiz"] == left - 1
    talk.say("it's the teapot")
    talk.say("y")
    assert views(talk) == known | {"the teapot": 1} and talk.state["quiz"] == left - 2
    assert talk.line.placeholder == (ANSWERS if left > 2 else EXAMPLE)


def test_the_last_answer_ends_a_quiz_and_without_unsure_regions_there_is_none(talk, monkeypatch):
    monkeypatch.setattr(talk.album, "quiz", lambda n: talk.album.hits()[:2])
    talk.quiz()
    talk.say("n")
    assert talk.say("no").text.endswith("That was the last one.") and talk.state["quiz"] == 0 and talk.line.placeholder == EXAMPLE
    talk.quiz()
    assert talk.say("stop").text == "All right: 0 answers." and talk.state["quiz"] == 0
    monkeypatch.setattr(talk.album, "quiz", lambda n: [])
    with pytest.raises(InputError, match="Nothing is unsure"):
        talk.quiz()


def test_commands_during_a_quiz_are_no_names(talk):
    talk.quiz()
    before, known = len(talk.memory.history(None)), talk.state["things"]
    for sentence in ("help", "what did you do?", "how many mugs are there?"):
        talk.say(sentence)
        assert talk.state["quiz"] and talk.state["said"][-1][1].startswith("Is that"), sentence
    marked(talk, 0)
    talk.say("what is this?")
    assert talk.state["quiz"] == 0, "two questions at once: a yes would answer either"
    assert talk.state["things"] == known and len(talk.memory.history(None)) == before


def test_names_that_mean_harm_are_text(make):
    explorer, said = make(), []
    for i, name in enumerate(NAMES.values()):
        marked(explorer, i % 13)
        try:
            explorer.memory.add(name, explorer.canvas.picture, Box(i, i, i + 9, i + 9))
        except InputError as error:
            said.append(str(error))
            continue
        explorer.say(f"what do you know about “{name}”?")
        value = explorer.words.value
        assert not any(tag in value for tag in ("<img", "<script", "</style", "<svg")) and "onmouseover" not in value.replace("&#39; onmouseover", "")
        assert all(len(text) <= 4 * SENTENCE for text in explorer.state["rows"][0]["captions"])
    assert all(len(one) < 2 * SENTENCE for one in said)
    explorer.say("what is this?")
    assert one_line(NAMES["element"]) in " ".join(explorer.state["things"])
    explorer.say('this is "<b>🦄</b> \'&quot;"')
    assert "<b>" not in explorer.words.value and "🦄" in explorer.words.value


def test_a_model_s_words_are_marked_as_its_own(make):
    class Model:
        def answer(self, picture, question):
            return f"<i>{question}</i> is half full"

    explorer = make(model=Model())
    explorer.say("the pot seems half full to me somehow, or does it")
    assert "<b>the model says</b>" in explorer.words.value and "<i>" not in explorer.words.value
    assert explorer.state["things"] == []


def test_another_network_encodes_what_is_remembered_again(talk, make, small):
    other = make(small.experiment("cnn").corpus, objects="boxes")
    assert views(other) == views(talk) and other.memory.encoder.name != talk.memory.encoder.name
    marked(other, 0)
    reply = other.say("what is this?")
    assert reply.results[0].candidates[0].score == pytest.approx(1, abs=1e-3) and reply.things[0].name == "the cup"
    assert other.say("where is the cup?").results
    assert talk.memory.vectors()[0].shape[1] == 48 and talk.say("where is the cup?").results, "the first page goes on as before"


def test_what_two_pages_say_of_one_memory_is_known_to_both(talk, make):
    other = make()
    marked(other, 7)
    other.say("this is the teapot")
    assert "one thing" not in talk.summary and talk.say("what do you know about the teapot?").things[0].name == "the teapot"


def test_the_default_memory_lies_in_the_cache(make, tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "new" / "cache"))
    explorer = make(memory=None)
    marked(explorer, 0)
    explorer.say("this is the cup")
    assert len(Memory(tmp_path / "new" / "cache" / "things.db").things()) == 1


def test_a_network_that_embeds_nothing_is_a_sentence_and_close_leaves_nothing(make, small, open_widgets, tmp_path):
    class Nothing:
        name = "nothing"

    corpus = small.experiment("vit").corpus
    with pytest.raises(InputError, match="There is nobody to talk to here: nothing doesn't embed"):
        TalkExplorer(type("Other", (), {"set": corpus.set, "model": Nothing()})())
    before = open_widgets()
    explorer = TalkExplorer(corpus, tmp_path / "other.db")
    explorer.close()
    explorer.close()
    assert open_widgets() == before
    with pytest.raises(InputError, match="closed when its cell ran again"):
        explorer.say("help")
