"""Sentences to a memory: what they mean, what none may mean, and that no text breaks the listener."""

import csv
import string
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foir_lib.memory.sentences import intents, understand
from foir_lib.memory.sentences.intents import (
    About,
    Alias,
    Ask,
    Both,
    Correct,
    Count,
    Different,
    Forget,
    Help,
    History,
    Intent,
    Maybe,
    Name,
    No,
    Property,
    Redo,
    Rename,
    Same,
    Show,
    Undo,
    Unknown,
    What,
    Where,
    Why,
    Yes,
)  # fmt: skip
from foir_lib.memory.sentences.near import EXAMPLES
from foir_lib.memory.sentences.readings import WORDS, readings, say
from foir_lib.memory.sentences.words import grammar, keywords, words

with Path(__file__).with_name("sentences.csv").open(encoding="utf-8", newline="") as table:
    ROWS = list(csv.DictReader(table))


@pytest.fixture(scope="module", params=[pytest.param(3, id="a third"), pytest.param(1, id="all", marks=pytest.mark.claims)])
def heard(request):
    """Rows, and what is understood of each."""
    return [(row, understand(row["sentence"])) for row in ROWS[:: request.param]]


def test_what_the_grammars_author_wrote_is_read_as_it_is_meant(heard):
    wrong = {
        row["sentence"]: str(one)
        for row, one in heard
        if row["voice"] == "grammar" and str(one) != row["intent"]
    }
    assert not wrong


def test_others_sentences_are_understood_and_none_wrongly_in_a_way_that_writes(heard):
    """Written in other voices, with what they mean, before any was tried; the misses stay. One that is asked back counts as understood.

    The grammar was then widened by what these sentences taught: at their first trial it understood 62 to 67 % of those that
    ask or tell something, and four of all wrote what wasn't meant; of one of these the meaning was seen otherwise afterwards. The
    voice "fresh" is of somebody who knew the intents alone: of those 130 it understood 117 at their first trial (90 %; nine of them name
    the same by another slot, plural or key) and wrote two that weren't meant, both of which are asked back since. The voice "blind" at
    the table's end was written before another widening: of its 72 sentences 32 (44 %) were understood at their first trial, and one wrote what
    wasn't meant ("you know what this is", heard as a yes); no question is heard as a yes since; of its
    last 40, written after that, 33 (82 %) at their first, and none wrote what wasn't meant.
    """
    others = [(row, one) for row, one in heard if row["voice"] != "grammar"]
    assert len(ROWS) >= 300 and len(others) >= len(heard) / 2 and len({row["sentence"] for row in ROWS}) == len(ROWS)
    right = [str(one).removeprefix("Maybe ") == row["intent"] for row, one in others]
    wrong = [row["sentence"] for (row, one), ok in zip(others, right, strict=True) if one.writes and not ok]
    assert sum(right) >= (0.9 if len(heard) == len(ROWS) else 0.85) * len(others) and not wrong, (sum(right), len(others), wrong)


def test_no_sentence_that_writes_has_a_second_reading(heard):
    for row, one in heard:
        assert not one.writes or isinstance(one, Both) or readings(words(row["sentence"])) == [one], row["sentence"]


def test_every_intent_has_sentences():
    spoken = {row["intent"].removeprefix("Maybe ").partition(":")[0] for row in ROWS}
    assert spoken >= {kind.__name__ for kind in Intent.__subclasses__()} - {"Maybe", "Both"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_is_offered_instead_is_understood(example):
    assert not isinstance(understand(example), Unknown | Maybe)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("this is the mug, the spoon", ("this is “the mug, the spoon”",)),
        ("call the mug Fred Astaire", ("rename the mug to Fred Astaire", "rename the mug Fred to Astaire")),
        ("where in the world might one perhaps be looking for the mug", ("where is the lab's mug?",)),
    ],
)
def test_a_near_miss_is_answered_with_what_would_be_understood(text, near):
    heard = understand(text)
    assert isinstance(heard, Unknown) and heard.text == text and set(near) <= set(heard.near)
    assert not any(isinstance(understand(one), Unknown) for one in near)


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("wheer is the lab's mug?", Where("the lab's mug")),
        ("where tf is my cup?", Where("my cup")),
        ("thiss is the lab's mug", Maybe(Name("the lab's mug"))),
        ("forgett it", Maybe(Forget())),
        ("these twoo are the same", Maybe(Same())),
    ],
)
def test_a_slip_is_mended_and_asked_back_before_it_writes(text, intent):
    assert understand(text) == intent


NAMES = st.one_of(
    st.sampled_from(
        ["the lab's mug", "Anna's cup", "the blue one", "“The Who”", "my old tea pot", "the mug of the lab", "Rex"]
    ),
    st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=30),
    st.lists(st.sampled_from(sorted(keywords())), min_size=1, max_size=6).map(" ".join),
).map(lambda name: " ".join(name.split()))
PLAIN = NAMES.filter(
    lambda name: name and not set(name) & set("\"“”„«»'’‘") and name.split()[0].lower() not in ("a", "an")
)
SLOTS = {"n": st.integers(1, 999_999_999), "key": st.sampled_from(["colour", "size", "belongs to", "material"])}
TOLD = st.one_of(
    *(
        st.builds(kind, *(SLOTS.get(slot.name, PLAIN) for slot in fields(kind)))
        for kind in Intent.__subclasses__()
        if kind not in (Maybe, Both, Unknown)
    )
)


@settings(max_examples=60)
@given(TOLD)
def test_an_intent_as_it_is_said_is_heard_as_that_intent(intent):
    assert understand(say(intent)) == intent


@settings(max_examples=20)
@given(PLAIN)
def test_a_name_in_quotes_is_heard_letter_by_letter_and_a_name_without_never_as_another(name):
    assert understand(f"this is “{name}”") == Name(name)
    heard = understand(f"this is {name}")
    assert not isinstance(heard, Name) or "".join(heard.name.split()) in "".join(name.split()), heard


ANY = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            [*keywords(), "mug", "Rex", "lab's", "“", "”", '"', "'", ",", "?", "!", "3", "<b>", "{}", "\n", "🦄"]
        ),
        max_size=60,
    ).map(" ".join),
)


@settings(max_examples=40)
@given(ANY)
@example("")
@example("\x00\ud800")
@example("the " * 10_000)
@example("mug " * WORDS)
@example("' " * 5_000)
@example("'a " * 3_000)
@example('"a" ' * 2_500)
@example("“" * 10_000)
@example("?" * 10_000)
@example("this is the " + "m" * 10_000)
@example("this is “" + "mug " * 2_500 + "”")
@example("this is the mug" + " of the mug" * 12)
@example("the mug " * 6 + "and " + "the mug " * 6 + "are the same")
@example("__import__('os').system('rm -rf /')")
@example("{{7*7}} ${x} %s {0.__class__} <script>alert(1)</script>")
@example("this is the <img src=x onerror=alert(1)>; DROP TABLE events; --")
def test_any_text_gives_an_intent_soon_and_never_an_error(text):
    began = time.thread_time()
    heard = understand(text)
    assert time.thread_time() - began < 5, "it hangs"
    assert isinstance(heard, Intent) and isinstance(hash(heard), int) and str(heard)
    if heard.writes and not isinstance(heard, Both):
        assert len(readings(words(text))) == 1


def test_words_keep_their_letters_and_places():
    text = "What’s  the LAB’S mug, “a b”?"
    tokens = words(text)
    assert [t.type for t in tokens] == ["WHAT", "IS", "THE", "POSS", "WORD", "SEP", "QUOTED", "QMARK"]
    assert [text[t.start_pos : t.end_pos] for t in tokens[2:5]] == ["the", "LAB’S", "mug"] and tokens[6] == "a b"


def test_no_keyword_hides_another_and_each_is_reached():
    terminals = [t.pattern.value for t in grammar().terminals]
    assert Counter(terminals).most_common(1)[0][1] == 1
    assert all(set(k) <= set(string.ascii_lowercase) for k in keywords()), "words() cuts at other marks"
    assert sum(len(t.pattern.value.split("|")) for t in grammar().terminals) == len(keywords())


def test_intents_are_all_in_one_place_and_say_whether_they_write():
    writing = {kind for kind in Intent.__subclasses__() if kind.writes} - {Both}
    assert writing == {Name, Correct, Same, Different, Forget, Undo, Redo, Alias, Rename, Property, Yes}
    reading = {What, Where, Count, Show, About, Ask, No, Why, History, Help}
    assert reading == set(Intent.__subclasses__()) - writing - {Maybe, Both, Unknown}
    assert intents.Unknown("x") == Unknown("x", ())
