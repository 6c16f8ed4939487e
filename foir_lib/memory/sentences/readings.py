"""The readings of a sentence: what grammar.lark makes of its words."""

import re
from dataclasses import asdict
from functools import lru_cache

from lark import Discard, Token, Transformer, Tree
from lark.exceptions import ParseError
from lark.visitors import CollapseAmbiguities

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
from foir_lib.memory.sentences.words import grammar, words

WORDS = 30  # outside of quotes: beyond, it is no sentence to a memory
THEM = object()
NUMBERS = "zero one two three four five six seven eight nine ten".split()


def readings(tokens: list[Token]) -> list[Intent]:
    """All that the grammar reads in ``tokens``, each once; none where it reads nothing.

    A mere remark is Unknown. What is told with a question mark is asked; "could you forget it?" is told nicely.
    """
    return list(_readings(tuple((token.type, str(token)) for token in tokens))) if 0 < len(tokens) <= WORDS else []


@lru_cache(maxsize=512)
def _readings(typed):
    tokens = [Token(*one) for one in typed]
    try:
        tree = grammar().parse(tokens)
    except ParseError:
        return []
    return list(dict.fromkeys(_told(one) for one in CollapseAmbiguities().transform(tree)))


def _told(tree):
    intent = next(one for one in _Intents().transform(tree).children if isinstance(one, Intent))
    asked, nicely = (any(tree.find_data(rule)) for rule in ("question", "polite"))
    if not asked or nicely:
        return intent
    told = intent.intent if isinstance(intent, Maybe) else intent
    if isinstance(told, Name | Correct):
        return Ask(told.name)
    if isinstance(told, Yes):
        return Unknown("")
    return Maybe(intent) if intent.writes else intent


def said(tokens: list[Token]) -> str:
    """A name in the speaker's letters, one space between words; "a" and "an" are no part of it, nor are quotes around all of it."""
    if len(tokens) > 1 and tokens[0].type in ("A", "AN"):
        tokens = tokens[1:]
    return " ".join(tokens)


FORMS = {  # how a listener would say it
    Name: "this is {name}", Correct: "that's wrong, it's {name}", Same: "{a} and {b} are the same",
    Different: "{a} and {b} are different", Forget: "forget {name}", Undo: "undo the last {n} steps", Redo: "redo the last {n} steps",
    Alias: "{thing} is also called {name}", Rename: "call {thing} {name}", Property: "the {key} of {thing} is {value}",
    Yes: "yes", No: "no", What: "what is this?", Where: "where is {name}?", Count: "how many {name} are there?",
    Show: "show me all {of} things", About: "what do you know about {name}?", Ask: "is this {name}?", Why: "why?",
    History: "what did you do?", Help: "help",
}  # fmt: skip
SPECIAL = {
    Same(): "those two are the same", Different(): "those two are different", Undo(): "undo", Redo(): "redo",
    Count(): "how many things are there?", Show(): "show me everything",
}  # fmt: skip


def say(intent: Intent) -> str:
    """An intent as the plainest sentence that is read as it; names stand in quotes where they must."""
    intent = intent.intent if isinstance(intent, Maybe) else intent
    if isinstance(intent, Both):
        return ", then ".join(map(say, intent.intents))
    if intent in SPECIAL:
        return SPECIAL[intent]
    form, slots = FORMS[type(intent)], asdict(intent)
    if isinstance(intent, Rename) and intent.thing:
        form = "rename {thing} to {name}"
    plain = {"colour": "{thing} is {value}", "belongs to": "{thing} belongs to {value}", "material": "{thing} is made of {value}"}
    forms = [plain[intent.key], form] if isinstance(intent, Property) and intent.key in plain else [form]
    for form in forms:
        for mark in ("{}", "“{}”", '"{}"', "«{}»"):
            slotted = {k: "it" if v is None else v if k in ("key", "n") else mark.format(v) for k, v in slots.items()}
            text = form.format(**slotted)
            if readings(words(text)) == [intent]:
                return text
    return text


class _Key(str):
    """The name of a property, which is no thing."""


def _tokens(*children):
    return [token for one in children for token in (one if isinstance(one, list) else [one])]


def _text(*children):
    return said(_tokens(*children))


def _owner(*children):
    return re.sub("['’‘][sS]?$", "", _text(*children))


def _key(*children):
    plain = _text(*children).lower()
    return _Key({"color": "colour", "owner": "belongs to"}.get(plain, plain))


def _times(word="1"):
    return NUMBERS.index(word.lower()) if word.lower() in NUMBERS else int(word)


def _nothing(*_):
    return None


def _about(*slots):
    return About(next((slot for slot in slots if not isinstance(slot, _Key)), None))


def _of_two(kind):
    return lambda *things: kind(*(thing for thing in things if thing is not THEM))


def _perhaps(kind):
    return lambda *names: Maybe(kind(names[-1]))


MAKE = {  # what becomes of each rule of the grammar, given what became of its parts; the others stay trees
    **dict.fromkeys(["inner", "last", "article", "preposition", "one"], _tokens),
    **dict.fromkeys(["firm", "bare", "mine", "shade", "number"], _text),
    **dict.fromkeys(["any", "thing", "value", "owned"], lambda one: one),
    **dict.fromkeys(["it", "its", "any_thing"], _nothing),
    "them": lambda *_: THEM, "my": lambda *_: "mine", "owner": _owner, "key": _key, "times": _times, "twice": lambda: 2,
    "name": lambda *names: Name(names[-1]), "perhaps_name": _perhaps(Name),
    "correct": lambda *names: Correct(names[-1]), "perhaps_correct": _perhaps(Correct),
    "same": _of_two(Same), "perhaps_same": lambda *_: Maybe(Same()),
    "perhaps_forget": lambda *_: Maybe(Forget()),
    "noun": lambda *_: Discard, "different": _of_two(Different),
    "forget": lambda thing: Forget(None if thing is THEM else thing), "undo": Undo, "redo": Redo, "alias": Alias, "alias_of": lambda name, thing: Alias(thing, name), "rename": Rename,
    "shaded": lambda thing, value: Property(thing, "colour", value), "keyed": Property,
    "keyed_it": lambda key, value: Property(None, key, value), "keyed_last": lambda key, thing, value: Property(thing, key, value),
    "belongs": lambda thing, owner: Property(thing, "belongs to", owner), "owns": lambda owner, thing: Property(thing, "belongs to", owner),
    "perhaps_belongs": lambda thing, owner: Maybe(Property(thing, "belongs to", owner)),
    "made_of": lambda thing, value: Property(thing, "material", value),
    "what": lambda *_: What(), "where": lambda *things: Where(things[-1]), "count": Count, "everything": lambda *_: Show(), "show": Show,
    "about": _about, "about_it": lambda *_: About(), "ask": lambda name, *_: Ask(name), "yes": lambda *_: Yes(), "no": lambda *_: No(),
    "why": lambda *_: Why(), "history": lambda *_: History(), "help": lambda *_: Help(), "remark": lambda *_: Unknown(""),
}  # fmt: skip


class _Intents(Transformer):
    """A tree of the grammar as an intent."""

    def __default__(self, data, children, meta):
        return MAKE[data](*children) if data in MAKE else Tree(data, children, meta)
