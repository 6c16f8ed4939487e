"""Sentences to a memory, understood without any model: words, then grammar.lark, then one intent or none.

What is not surely understood never becomes an intent that writes: two readings, a question where something is told, a slip, a name
that may be a mere word are asked back (Maybe) or answered by what would have been understood (Unknown).
"""

from lark import Token

from foir_lib.memory.sentences import near
from foir_lib.memory.sentences.compound import compound
from foir_lib.memory.sentences.intents import Intent, Maybe, Name, Unknown, Yes
from foir_lib.memory.sentences.readings import readings, say
from foir_lib.memory.sentences.words import words

LONGEST = 20_000  # letters of a sentence, names in quotes included


def understand(text: str) -> Intent:
    """The one intent of a sentence, Maybe, or Unknown with the nearest sentences; never an error, whatever the text."""
    tokens = words(text) if len(text) <= LONGEST else []
    found = readings(tokens)
    if not found:
        return compound(text, tokens) or near.guess(text, tokens)
    if len(found) > 1:
        found = [one for one in found if not isinstance(one, Yes)] or found  # "you know what this is": who asks hasn't said yes
    if len(found) == 1 and isinstance(found[0], Name) and _past(tokens):
        return Maybe(found[0])
    if len(found) == 1:
        return Unknown(text, near.forms(text)) if isinstance(found[0], Unknown) else found[0]
    if any(one.writes or isinstance(one, Maybe) for one in found):
        return Unknown(text, tuple(say(one) for one in found if not isinstance(one, Unknown)))
    return found[0]


HEDGES = {"MIGHT", "MAY", "COULD", "THINK", "BELIEVE", "GUESS", "SUPPOSE", "BET", "MAYBE", "PERHAPS", "PROBABLY", "POSSIBLY", "LIKELY"}


def hedged(text: str) -> bool:
    """Whether a sentence says itself that it isn't sure ("it might be the lamp"), or speaks of what was a thing."""
    tokens = words(text) if len(text) <= LONGEST else []
    return bool(HEDGES & {token.type for token in tokens}) or _past(tokens)


def _past(tokens):
    """Whether something *was*, had been or would be *a* thing: "that was a long meeting" is talk more often than it is a name."""
    types = [token.type for token in tokens]
    return any(one in ("WAS", "WERE", "BEEN", "BE") and after in ("A", "AN") for one, after in zip(types, types[1:]))


UNDECIDED = {"KNOW", "MIND", "SKIP", "STOP", "CANCEL", "FORGET", "SURE", "MEAN"}


def denies(text: str) -> bool:
    """Whether a No says that it isn't so ("no", "not that one"), rather than "I don't know", "never mind" or "stop"."""
    return not UNDECIDED & {token.type for token in words(text[:LONGEST])}


NAMELESS = set("idk whatever nothing hm hmm hmmm uh um er nvm later pass next me you i none unknown dunno huh meh eh lol wtf omg beats clue".split())


def bare(text: str) -> str | None:
    """The name that a sentence is and nothing else, as in an answer to "what is it called?"; None where it isn't surely one."""
    tokens = words(text) if len(text) <= LONGEST else []
    found = readings([Token("THIS", "this"), Token("IS", "is"), *tokens]) if tokens else []
    told = found[0].intent if len(found) == 1 and isinstance(found[0], Maybe) else found[0] if len(found) == 1 else None
    if not isinstance(told, Name) or any(token.type == "QMARK" for token in tokens):
        return None
    return None if NAMELESS & set(told.name.casefold().split()) else told.name
