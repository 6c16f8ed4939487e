"""Several sentences in one: "this is my mug and it is blue" is two, where each is understood by itself."""

from dataclasses import fields, replace
from itertools import combinations

from lark import Token

from foir_lib.memory.sentences.intents import Both, Correct, Forget, Intent, Maybe, Name, Property, Rename, Unknown
from foir_lib.memory.sentences.readings import WORDS, readings
from foir_lib.memory.sentences.words import breaks, words

MOST = 4  # cuts of one sentence
HERE, THERE = {"THIS", "THESE"}, {"THAT", "THOSE", "OTHER"}


def compound(text: str, tokens: list[Token]) -> Intent | None:
    """The intents of a sentence cut at "and", "then" or its marks: all or, as Unknown, those parts that would be understood; None without any.

    Two parts that name a region, or that speak of "this" and of "that", are of two regions: one of them is marked, so neither is done.
    """
    cuts = breaks(text)
    if not 0 < len(cuts) <= MOST or len(tokens) > WORDS or any(token.type == "IF" for token in tokens):
        return None
    best = ()
    for n in range(1, len(cuts) + 1):
        whole = []
        for some in combinations(cuts, n):
            parts = _pieces(text, some)
            intents = _shared([_sure(part) for part in parts], parts)
            if all(intents):
                whole.append((parts, intents))
            understood = tuple(part for part, intent in zip(parts, intents) if intent)
            best = max(best, understood, key=len)
        if len(whole) == 1:
            parts, intents = whole[0]
            return Unknown(text, tuple(parts)) if _two_regions(parts, intents) else _both(intents)
        if whole:
            return Unknown(text, tuple(whole[0][0]))
    return Unknown(text, best) if best and any(_sure(part).writes for part in best) else None


def _pieces(text, cuts):
    edges = [0, *(at for cut in cuts for at in cut), len(text)]
    return [text[a:b].strip(" ,") for a, b in zip(edges[::2], edges[1::2])]


def _sure(part):
    """The one intent of a part, or None."""
    found = readings(words(part))
    return found[0] if len(found) == 1 and not isinstance(found[0], Unknown) else None


def _shared(intents, parts):
    """A mere name takes part in what was asked or forgotten before it: "forget the mug and the cup"; in what was named it doesn't."""
    for i, part in enumerate(parts[1:], 1):
        name, before = _mere(part), intents[i - 1]
        if name and isinstance(before, Maybe | Name | Correct | Rename | Property):
            intents[i] = None
        elif name and before:
            slots = [field.name for field in fields(before) if isinstance(getattr(before, field.name), str)]
            intents[i] = replace(before, **{slots[0]: name}) if len(slots) == 1 else None
    return intents


def _mere(part):
    """The name that a part is and nothing else, or None."""
    tokens = [token for token in words(part) if token.type != "QMARK"]
    found = readings([Token("FORGET", "forget"), *tokens]) if tokens and tokens[0].type not in ("IT", "THIS", "THAT") else []
    return found[0].name if len(found) == 1 and isinstance(found[0], Forget) else None


def _both(intents):
    told = Both(tuple(intent.intent if isinstance(intent, Maybe) else intent for intent in intents))
    return Maybe(told) if any(isinstance(intent, Maybe) for intent in intents) else told


def _two_regions(parts, intents):
    of_region = [
        (i, {token.type for token in words(part)})
        for i, (part, intent) in enumerate(zip(parts, intents))
        if getattr(intent, "name", None) is None or isinstance(intent, Name | Correct)
        if type(intent).__name__ not in ("Undo", "Redo", "Yes", "No")
    ]
    naming = sum(isinstance(intent.intent if isinstance(intent, Maybe) else intent, Name | Correct) for intent in intents)
    here, there = (any(kinds & types for _, types in of_region) for kinds in (HERE, THERE))
    return naming > 1 or (here and there)
