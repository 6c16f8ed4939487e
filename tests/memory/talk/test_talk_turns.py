"""Turns of a conversation: what was denied isn't asked again, names said alone, two sentences in one, and what was done as people say it."""

import pytest
import small_memory
from PIL import Image
from small_memory import REGION, Nearest, names, plain

from foir_lib import Memory
from foir_lib.memory.conversation import Conversation
from foir_lib.memory.denials import deny, settled
from foir_lib.memory.recogniser import UNSURE, Candidate, Recognition
from foir_lib.prompts import Box


@pytest.fixture
def two(talk):
    """A talk that knows two things of nearly one colour."""
    talk.tell("this is the mug", plain("#fe0000"), REGION)
    talk.tell("this is the cup", plain("#e01010"), REGION)
    return talk


def kinds(memory):
    return [event.kind for event in memory.history(None)]


def test_what_was_denied_of_a_region_is_not_asked_again_and_the_next_candidate_comes(two, memory):
    region = Box(2, 2, 18, 18)
    first = two.tell("what is this?", plain("#ff0000"), region)
    assert first.things[0].name == "the mug"
    reply = two.tell("no")
    assert "the cup" in reply.question and "the mug" not in reply.question and kinds(memory)[-1] == "deny"
    assert two.tell("no").question == "What is it?" and "the mug" not in two.tell("what is this?").text
    again = Conversation(Memory(memory.journal.name, small_memory.Colours()), Nearest(memory))
    asked = again.tell("what is this?", plain("#ff0000"), Box(2, 2, 18, 19))
    assert asked.text == "That is new to me. What is it called?", "another start, nearly the same box"
    assert "isn't the mug" in again.tell("is this the mug?").text
    assert again.tell("yes").kind == "done" and len(again.context.memory.thing("mug").views) == 2
    assert again.tell("what is this?").things[0].name == "the mug", "what was said later counts"


def test_a_no_is_taken_back_by_undo_and_kept_through_purge_and_export(two, memory, tmp_path):
    deny(memory, plain("#ff0000"), None, memory.thing("mug"))
    two.tell("undo")
    two.tell("is this the cup?", plain("#e01011"), REGION)
    two.tell("no")
    picture, box = plain("#e01011"), (0, 0, 20, 20)
    cup = memory.thing("cup")
    content = next(event for event in memory.history(None) if event.kind == "deny" and not event.undone).body["picture"]
    assert settled(memory).denied(content, box) == {cup.id}
    assert two.tell("undo").text.startswith("Taken back: your note that a region isn't the cup.") and not settled(memory).denied(content, box)
    two.tell("redo")
    memory.export(tmp_path / "out")
    other = Memory(tmp_path / "other.db", small_memory.Colours())
    assert not other.import_(tmp_path / "out").conflicts and settled(other).denied(content, box) == {other.thing("cup").id}
    deny(memory, picture, REGION, memory.thing("mug"))
    memory.purge(cup)
    assert settled(memory).denied(content, box) == {memory.thing("mug").id} and cup.id not in str([e.body for e in memory.history(None)])


@pytest.mark.parametrize("sentence", ["I don't know", "never mind", "not sure", "stop", "skip it"])
def test_to_leave_a_question_denies_nothing(two, memory, sentence):
    two.tell("what is this?", plain("#ff0000"), Box(2, 2, 18, 18))
    before = kinds(memory)
    assert two.tell(sentence).text == "All right, I leave it; nothing was written." and kinds(memory) == before
    assert two.tell("yes").kind == "unknown"


def test_a_no_to_another_question_speaks_of_no_old_candidate(two, memory):
    two.tell("what is this?", plain("#ff0000"), REGION)
    before = kinds(memory)
    assert two.tell("maybe it's my kettle").question == "Did you mean: this is my kettle?"
    assert two.tell("no").text == "All right, nothing was written." and kinds(memory) == before


@pytest.mark.parametrize("name", ["ball 05d", "Rex", "the lab's mug", "“is it?”", "teapot", "Käthe's Gießkanne", "杯子"])
def test_a_name_alone_answers_what_it_is_called(talk, memory, name):
    assert talk.tell("what is this?", plain("red"), REGION).question == "What is it called?"
    assert talk.tell(name).kind == "done" and names(memory) == [name.strip("“”")]


@pytest.mark.parametrize("no_name", ["idk", "no idea", "beats me", "whatever", "hmm", "I don't know", "what?", "a good question", "help", "later"])
def test_what_is_no_name_names_nothing(talk, memory, no_name):
    talk.tell("what is this?", plain("red"), REGION)
    talk.tell(no_name)
    assert not memory.things()


def test_a_name_alone_otherwise_asks_where_the_thing_is_and_writes_nothing(two, memory):
    talk = Conversation(memory, Nearest(memory), find=lambda thing: ["here"])
    talk.tell("help", plain("red"), REGION)
    before = kinds(memory)
    assert talk.tell("the mug").results == ("here",) and talk.tell("mug").things[0].name == "the mug"
    assert two.tell("the mug").text.startswith("The mug: 1 view")
    asked = talk.tell("ball 05d")
    assert asked.question == "Did you mean: this is “ball 05d”?" and kinds(memory) == before


@pytest.mark.parametrize("sentence", ["is it full?", "is this heavy?", "is it really open?"])
def test_a_state_is_the_models_to_tell_and_without_one_that_is_said(talk, memory, sentence):
    talk.tell("this is the mug", plain("red"), REGION)
    assert "takes a language model" in talk.tell(sentence).text

    class Model:
        def answer(self, picture, question):
            return f"Asked: {question}"

    reply = Conversation(memory, Nearest(memory), Model()).tell(sentence, plain("red"), REGION)
    assert reply.by_model and sentence in reply.text and kinds(memory) == ["add"]


def test_two_sentences_in_one_are_done_one_after_another(talk, memory):
    reply = talk.tell("this is my mug and it is blue", plain("red"), REGION)
    assert [event.kind for event in reply.events] == ["add", "describe"] and "undo the last 2 steps" in reply.text
    assert memory.thing("my mug").properties == {"colour": "blue"}
    talk.tell("this is the cup. it belongs to Anna; it's also called Bluey", plain("green"), REGION)
    assert memory.thing("Bluey").properties == {"belongs to": "Anna"}
    reply = talk.tell("forget the cup and my mug")
    assert not memory.things() and reply.text.count("forgotten") == 2
    assert talk.tell("undo the last 2 steps").kind == "done" and len(memory.things()) == 2
    reply = talk.tell("undo that and forget the purple one")
    assert "purple one" in reply.text and reply.text.startswith("Taken back") and reply.kind == "refused"
    assert talk.tell("where are the cup and my mug?").text.count("was shown to me") == 2


@pytest.mark.parametrize(
    ("sentence", "halves"),
    [
        ("this is my mug and that one is Anna's", ("this is my mug", "that one is Anna's")),
        ("this is the salt and the pepper", ("this is the salt",)),
        ("this is the mug and that is the cup", ("this is the mug", "that is the cup")),
        ("forget the mug and please wash the dishes", ("forget the mug",)),
        ("it is blue and don't forget the mug", ("it is blue",)),
    ],
)
def test_what_is_half_understood_is_not_half_written(two, memory, sentence, halves):
    before = kinds(memory)
    reply = two.tell(sentence, plain("blue"), REGION)
    assert reply.kind == "unknown" and all(half in reply.text for half in halves) and kinds(memory) == before


def test_what_was_done_is_told_with_names_and_no_ids(two, memory):
    two.tell("that's wrong, it's the pan")
    assert two.tell("undo").text == "Taken back: the view moved from the cup to the pan. Say “redo” to do it again."
    said = ["the cup is red", "the cup is blue", "the cup belongs to Anna", "rename the cup to the bowl", "the bowl is also called Bluey"]
    said += ["the bowl and the mug are the same", "those two are different", "forget the bowl"]
    for sentence in said:
        assert two.tell(sentence).kind == "done", sentence
    told = two.tell("undo the last 8 steps").text + two.tell("what did you do?").text + two.tell("redo the last 8 steps").text
    for words in ("the cup forgotten", "the cup renamed to the bowl", "is blue (it was red)", "also called Bluey", "belongs to Anna"):
        assert words in told, words
    ids = {row.id[:6] for thing in memory.things() for row in (thing, *thing.views)} | {event.id[:6] for event in memory.history(None)}
    told += two.tell("show me everything").text
    assert not [id for id in ids if id in told] and " by human" not in told


def test_which_of_two_of_one_name_is_told_by_its_place(two, memory):
    memory.rename(memory.thing("cup"), "the mug")
    asked = two.tell("forget the mug")
    assert "1. the mug" in asked.text and len(asked.results) == 2, "both are shown"
    kept = memory.things()[0].id
    assert two.tell("the second one").kind == "done" and [thing.id for thing in memory.things()] == [kept]


def test_a_slip_in_a_name_is_asked_back_and_yes_takes_what_was_meant(two, memory):
    two.tell("this is the kettle", plain("blue"), REGION)
    before = kinds(memory)
    assert "the kettle" in two.tell("where is the ketle?").text
    assert two.tell("yes").things[0].name == "the kettle" and kinds(memory) == before
    assert "which I know" in two.tell("this is the kettel", plain("#0000fe"), REGION).text and kinds(memory) == before
    assert two.tell("yes").kind == "done" and len(memory.thing("kettle").views) == 2
    for other in ("pump 4", "the kettle 5"):
        talk = two.tell(f"this is {other}", Image.new("RGB", (40, 30), "green"), REGION)
        assert "which I know" not in talk.text, "a number is no slip"


def test_it_is_nothing_once_it_was_taken_back(two, memory):
    two.tell("this is the kettle", plain("blue"), REGION)
    two.tell("undo")
    assert two.tell("forget it").kind == "refused" and names(memory) == ["the mug", "the cup"]


@pytest.mark.parametrize("quotes", ["“{}”", "„{}“", "„{}”", "«{}»", "»{}«", "”{}”", "「{}」", "『{}』", "《{}》", "‹{}›", "›{}‹", "‚{}‘", '"{}"', "＂{}＂"])
def test_quotes_of_any_language_hold_a_name(talk, memory, quotes):
    assert talk.tell(f"this is {quotes.format('the end')}", plain("red"), REGION).kind == "done" and names(memory) == ["the end"]


def test_a_yes_to_a_choice_asks_which_and_the_nearest_name_is_taken_by_a_yes(two, memory):
    two.context.recognise = lambda *_: Recognition(UNSURE, tuple(Candidate(t, t.views[0], 0.9) for t in memory.things()), 0.5, "Is it the mug or the cup?", "colours")
    assert two.tell("what is this?", plain("#f80404"), Box(2, 2, 18, 18)).kind == "question"
    assert two.tell("yes").question == "Which one: the mug or the cup?" and two.tell("the second").things[0].name == "the cup"
    two.context.recognise = Nearest(memory).recognise
    two.tell("this is the kettle", plain("blue"), REGION)
    two.tell("is this the ketle?")
    assert "the kettle" in two.tell("yes").text


def test_it_is_the_region_that_was_asked_about_though_nobody_knows_what_it_is(two, memory):
    two.tell("what is this?", plain("green"))
    before = kinds(memory)
    assert two.tell("it is yellow").kind == "refused" and kinds(memory) == before
    assert two.tell("what is this?").question == "What is it called?" and two.tell("the tray").kind == "done"
    assert two.tell("it is yellow").kind == "done" and two.tell("how many yellow things do you know?").text == "I know 1 such thing: the tray."
