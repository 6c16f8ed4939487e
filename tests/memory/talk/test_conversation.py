"""A conversation: what is done and answered, what "it" is, what is asked back, and that nothing is written by a misunderstanding."""

import pytest
import small_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from small_memory import REGION, Nearest, names, plain

from foir_lib import Memory
from foir_lib.memory.conversation import Conversation
from foir_lib.memory.recogniser import KNOWN
from foir_lib.memory.sentences import understand
from foir_lib.prompts import Box, Mask


def test_a_thing_is_named_known_again_corrected_and_undone(talk, memory):
    red, other = plain("red"), plain("#fe0000")
    first = talk.tell("this is the lab's mug", red, REGION)
    assert (first.kind, [e.kind for e in first.events], names(memory)) == ("done", ["add"], ["the lab's mug"])
    assert "undo" in first.text and memory.things()[0].views[0].box == (0, 0, 20, 20)
    seen = talk.tell("what is this?", other, REGION)
    assert seen.things[0].name == "the lab's mug" and seen.results[0].verdict == KNOWN and not seen.events
    fixed = talk.tell("that's wrong, it's the cup")
    assert (
        fixed.kind == "done" and names(memory) == ["the lab's mug", "the cup"] and len(memory.thing("cup").views) == 1
    )
    assert talk.tell("undo").kind == "done" and names(memory) == ["the lab's mug"]
    assert talk.tell("redo").kind == "done" and names(memory) == ["the lab's mug", "the cup"]
    assert talk.tell("undo the last 2 steps").kind == "done" and not memory.things()


def test_a_stored_view_moves_when_it_is_corrected(talk, memory):
    talk.tell("this is the mug", plain("red"), REGION)
    reply = talk.tell("no, it's the cup")
    assert "the cup, not the mug" in reply.text and [len(t.views) for t in memory.things() if t.name == "the cup"] == [
        1
    ]
    assert sum(len(t.views) for t in memory.things()) == 1


def test_yes_stores_the_view_and_no_stores_nothing(talk, memory):
    talk.tell("this is the mug", plain("red"), REGION)
    talk.tell("what is this?", plain("#fe0000"), REGION)
    assert "no" not in talk.tell("yes").text.split()[0].lower() and len(memory.thing("mug").views) == 2
    talk.tell("is this the mug?", plain("#fd0000"), REGION)
    reply = talk.tell("no")
    assert [event.kind for event in reply.events] == ["deny"] and reply.question == "What is it?" and len(memory.thing("mug").views) == 2
    assert not talk.tell("yes").events


def test_it_and_those_two_are_what_was_last_spoken_of(talk, memory):
    talk.tell("this is the mug", plain("red"), REGION)
    talk.tell("it is blue")
    talk.tell("it belongs to the lab")
    talk.tell("it's also called Bluey")
    assert memory.thing("Bluey").properties == {"belongs to": "the lab", "colour": "blue"}
    talk.tell("this is the cup", plain("green"), REGION)
    assert talk.tell("where is the mug?").things[0].name == "the mug"
    talk.tell("its colour is red")
    assert memory.thing("mug").properties["colour"] == "red" and not memory.thing("cup").properties
    merged = talk.tell("those two are the same")
    assert merged.kind == "done" and len(memory.things()) == 1 and len(memory.things()[0].views) == 2
    assert talk.tell("those two are different").kind == "done" and len(memory.things()) == 2
    talk.tell("forget the cup")
    assert names(memory) == ["the mug"]


def test_the_blue_one_is_found_by_its_property_and_two_blue_ones_are_asked_about(talk, memory):
    talk.tell("this is the mug", plain("red"), REGION)
    talk.tell("it is blue")
    talk.tell("this is the cup", plain("green"), REGION)
    assert talk.tell("this is the blue one", plain("blue"), REGION).things[0].name == "the mug"
    talk.tell("the cup is blue")
    before = memory.history()
    asked = talk.tell("this is the blue one", plain("black"), REGION)
    assert (
        asked.kind == "question"
        and {t.name for t in asked.things} == {"the mug", "the cup"}
        and memory.history() == before
    )
    assert talk.tell("the cup").events and len(memory.thing("cup").views) == 2
    assert talk.tell("this is the yellow one", plain("white"), REGION).kind == "refused"


def test_a_name_that_two_things_have_is_asked_back_and_the_answer_goes_on(talk, memory):
    for colour in ("red", "green"):
        talk.tell(f"this is the {colour} mug", plain(colour), REGION)
        talk.tell(f"it is {colour}")
    asked = talk.tell("forget the mug")
    assert asked.kind == "question" and len(asked.things) == 2 and len(memory.things()) == 2
    assert talk.tell("the green one").kind == "done" and names(memory) == ["the red mug"]


def test_a_name_like_a_known_one_is_asked_back(talk, memory):
    talk.tell("this is the lab's mug", plain("red"), REGION)
    asked = talk.tell("this is the mug", plain("blue"), REGION)
    assert asked.kind == "question" and not asked.events and "the lab's mug" in asked.text
    assert talk.tell("no").kind == "done" and names(memory) == ["the lab's mug", "the mug"]
    talk.tell("this is the lab's old mug", plain("yellow"), REGION)
    assert len(memory.things()) == 3


def test_a_bare_word_is_asked_back_once(talk, memory):
    assert (
        talk.tell("this is rex", plain("red"), REGION).question == "Did you mean: this is “rex”?"
        and not memory.things()
    )
    assert talk.tell("yes").kind == "done" and names(memory) == ["rex"]
    assert talk.tell("this is rex", plain("blue"), REGION).kind == "done"


def test_regions_that_are_none(talk, memory):
    assert talk.tell("this is the mug").kind == "refused"
    assert talk.tell("what is this?").kind == "refused"
    assert talk.tell("this is the mug", plain("red")).question == "Is it the whole picture?" and not memory.things()
    assert talk.tell("yes").kind == "done" and memory.things()[0].views[0].box is None
    assert talk.tell("this is the cup", plain("blue"), Box(100, 100, 120, 120)).kind == "refused"
    talk.tell("this is the bowl", plain("blue"), Mask(small_memory.picture(1).convert("1")))
    assert memory.thing("bowl").views[0].mask


def test_unknown_names_are_answered_with_the_nearest(talk, memory):
    talk.tell("this is the lab's mug", plain("red"), REGION)
    for sentence in (
        "where is the lab's mugg?",
        "forget the lab's mugs of old",
        "the lap's mug is blue",
    ):
        reply = talk.tell(sentence)
        assert reply.kind == "refused" and not reply.events and "the lab's mug" in reply.text, sentence
    assert talk.tell("how many spoons?").text == "None that I know: I was shown nothing called “spoons”."
    assert "the lab's mug" in talk.tell("where is the lap's mug?").text


def test_things_are_shown_and_counted_by_owner_kind_and_in_the_album(memory):
    found = {"the red mug": ["a", "b"], "the green mug": ["c"], "the pot": []}
    talk = Conversation(memory, Nearest(memory), find=lambda thing: found[thing.name])
    for name, colour in (("the red mug", "red"), ("the green mug", "green"), ("the pot", "white")):
        talk.tell(f"this is {name}", plain(colour), REGION)
        talk.tell("it belongs to the lab" if name != "the pot" else "it belongs to Anna")
    assert [t.name for t in talk.tell("show me all of the lab's things").things] == ["the red mug", "the green mug"]
    mugs = talk.tell("how many mugs?")
    assert mugs.results == ("a", "b", "c") and "2 such things" in mugs.text and "3 regions" in mugs.text
    assert talk.tell("where is the red mug?").results == ("a", "b")
    assert "nothing found" in talk.tell("where is the pot?").text
    assert len(talk.tell("show me everything").things) == 3
    assert "belongs to Anna" in talk.tell("what do you know about the pot?").text


class Model:
    def __init__(self):
        self.questions = []

    def answer(self, picture, question):
        self.questions.append(question)
        return "forget everything\nIt is <b>full</b>."


def test_a_language_model_answers_what_the_grammar_does_not_know_and_never_writes(memory):
    model = Model()
    talk = Conversation(memory, Nearest(memory), model)
    talk.tell("this is the lab's mug", plain("red"), REGION)
    talk.tell("what is this?", plain("#fe0000"), REGION)
    before = memory.history(None)
    reply = talk.tell("is the lab's mug full of something tasty?")
    assert reply.by_model and reply.text == "forget everything It is <b>full</b>." and memory.history(None) == before
    assert model.questions == ["The marked region shows the lab's mug. is the lab's mug full of something tasty?"]
    assert not talk.tell("where is the lab's mug?").by_model and len(model.questions) == 1


def test_memory_tells_by_itself_and_keeps_the_context(memory):
    memory.tell("this is “the <b>mug</b> 🦄”", plain("red"), REGION)
    assert memory.tell("it is blue").kind == "done" and names(memory) == ["the <b>mug</b> 🦄"]
    assert memory.things()[0].properties == {"colour": "blue"}


@settings(max_examples=25)
@given(
    sentence=st.one_of(
        st.text(max_size=80),
        st.sampled_from(["undo", "redo 99", "yes", "no", "why?", "help", "what did you do?", "merge them", "?"]),
    )
)
def test_any_sentence_is_answered_and_only_intents_that_write_do(tmp_path_factory, sentence):
    memory = Memory(tmp_path_factory.mktemp("any") / "things.db", small_memory.Colours())
    talk = Conversation(memory, Nearest(memory))
    talk.tell("this is the mug", plain("red"), REGION)
    before = memory.history(None)
    reply = talk.tell(sentence)
    assert reply.text and (understand(sentence).writes or memory.history(None) == before)


@pytest.mark.parametrize("sentence", ["it might be rex", "maybe it's rex", "I think it's rex", "that was a rex", "that would be a rex", "it has been a rex"])
def test_a_hedge_is_asked_back_even_where_the_name_is_known(talk, memory, sentence):
    talk.tell("this is the rex", plain("red"), REGION)
    before = len(memory.history(None))
    reply = talk.tell(sentence, plain("blue"), REGION)
    assert reply.kind == "question" and len(memory.history(None)) == before
    assert talk.tell("yes").kind == "done" and len(memory.thing("rex").views) == 2


def test_plurals_meet_their_things(talk):
    for name, colour in (("the doll's house", "red"), ("the tool box", "blue"), ("my watch", "green")):
        talk.tell(f"this is {name}", plain(colour), REGION)
    for plural in ("houses", "boxes", "watches"):
        assert talk.tell(f"how many {plural} are there?").text.startswith("I know 1 such thing")
