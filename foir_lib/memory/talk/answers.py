"""Answers to questions asked back, to greetings, and to what isn't understood."""

from collections.abc import Sequence

from foir_lib.memory import names
from foir_lib.memory.sentences.intents import Ask, Intent
from foir_lib.memory.sentences.words import words
from foir_lib.memory.state import Thing
from foir_lib.memory.talk.context import Reply
from foir_lib.memory.talk.told import listed

FIRST = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "former": 0, "latter": 1, "last": -1}
HELLO, THANKS = {"HEY", "HI", "HELLO", "MORNING", "EVENING", "AFTERNOON"}, {"THANKS", "THANK"}
POLITE = HELLO | THANKS | {"GOOD", "DAY", "YOU", "A", "LOT", "SEP", "DEAR", "COMPUTER", "THERE", "VERY", "MUCH"}
ASKING = "is are was were does do did can could has have what who which how why when will would should".split()


def chosen(sentence: str, things: Sequence[Thing]) -> Thing | None:
    """The thing among several that an answer tells from the others: by words of its name or properties, or its place ("the second one")."""
    asked = names.asked(sentence.strip(" .!?,"))
    fits = [thing for thing in things if asked and (asked <= names.words(thing) or names.plain(sentence) == thing.id)]
    if not fits and len(asked) == 1:
        (word,) = asked
        place = FIRST.get(word, int(word) - 1 if word.isdecimal() and len(word) < 4 else len(things))
        fits = [things[place]] if -1 <= place < len(things) else []
    return fits[0] if len(fits) == 1 else None


def greeting(sentence: str) -> str:
    """What is said to "hello" and "thank you"; nothing to anything else."""
    types = {token.type for token in words(sentence[:200])}
    if not types or not types <= POLITE:
        return ""
    if types & HELLO:
        return "Hello! Mark a thing and say what it is, or ask; “help” tells what I understand."
    return "You're welcome." if types & THANKS else ""


def unknown(sentence: str, intent: Intent) -> Reply:
    """What would have been understood; of a question, that it takes a language model."""
    if isinstance(intent, Ask):
        text = f"I can't see whether it is {intent.name}: that takes a language model, and none is here. I know names, places, and what I was told."
        return Reply(f"{text} If “{intent.name}” is a thing's name, mark it and say “this is “{intent.name}””.", "unknown")
    near = [f"“{one}”" for one in dict.fromkeys(intent.near) if one != "help"]
    first = sentence.casefold().split()[:1]
    asks = sentence.strip().endswith(("?", "？")) or bool(first) and first[0] in ASKING
    start = "I can't answer that: it takes a language model, and none is here." if asks else "I don't understand that."
    would = f"I would understand {listed(near, 'or')}; say" if near else "Say"
    return Reply(f"{start} {would} “help” for all that I understand.", "unknown")
