"""What a sentence that the grammar doesn't read may have meant: by spelling, by a part of it, by its form."""

import difflib

from lark import Token

from foir_lib.memory.sentences.intents import Intent, Maybe, Unknown, Yes
from foir_lib.memory.sentences.readings import WORDS, readings
from foir_lib.memory.sentences.words import keywords, of_rule

EXAMPLES = (
    "this is the lab's mug", "what is this?", "where is the lab's mug?", "how many mugs are there?", "that's wrong, it's the blue one",
    "those two are the same", "those two are different", "forget it", "undo", "redo", "show me all of the lab's things",
    "show me everything", "call it the travel mug", "rename the mug to the cup", "the mug is also called Bluey", "the mug is blue",
    "the mug belongs to the lab", "is this the lab's mug?", "what do you know about the mug?", "why?", "what did you do?", "help",
)  # fmt: skip
ALIKE, TRIES = (
    0.74,
    20,
)  # likeness of a slip to its keyword; further parses of a sentence, fewer of a long one (both ours)
NEVER = set(
    "NOT NEVER NO N SEP IF QUOTED NUMBER WHAT WHERE WHO WHY WHEN HOW".split()
)  # no sentence is understood by leaving these out

ASKING = set("WHAT WHERE WHO HOW WHY WHEN WHICH WHOSE".split())


def guess(text: str, tokens: list[Token]) -> Intent:
    """The one intent that a sentence has with a slip mended, or that a part of it has: as it is if it only reads, else asked back."""
    if not 0 < len(tokens) <= WORDS:
        return Unknown(text, EXAMPLES[:1] + EXAMPLES[-1:])
    for tried in _mended(tokens):
        found = readings(tried)
        if len(found) == 1 and not isinstance(found[0], Unknown):
            return Maybe(found[0]) if found[0].writes else found[0]
    for tried, rest in _parts(tokens):
        found = readings(tried)
        if len(found) == 1 and not isinstance(found[0], Maybe | Unknown | Yes):
            if not found[0].writes:
                return found[0]
            if not NEVER & {token.type for token in rest}:
                return Maybe(found[0])
    return Unknown(text, (*_quoted(text, tokens), *forms(text))[:3])


def forms(text: str) -> tuple[str, ...]:
    """The examples nearest to a text."""
    plain = " ".join(text[:200].lower().split())
    return tuple(difflib.get_close_matches(plain, EXAMPLES, n=3, cutoff=0.45)) or EXAMPLES[:2]


def _mended(tokens):
    """The words with slips put right: one, or all; words that are keywords already come last."""
    better = {}
    for i, token in enumerate(tokens):
        if 2 < len(token) < 16 and token.type not in NEVER:
            plain = str(token).lower()
            close = [k for k in difflib.get_close_matches(plain, keywords(), n=2, cutoff=ALIKE) if k != plain]
            better[i] = [Token(keywords()[k], k) for k in close]
    free = {i: close for i, close in better.items() if close and tokens[i].type in ("WORD", "PROPER")}
    tries = [[*tokens[:i], word, *tokens[i + 1 :]] for i, close in free.items() for word in close]
    tries.append([free[i][0] if i in free else token for i, token in enumerate(tokens)])
    tries += [[*tokens[:i], word, *tokens[i + 1 :]] for i, close in better.items() if i not in free for word in close]
    return tries[: TRIES * 4 // max(len(tokens), 1)]


def _parts(tokens):
    """The end of a sentence, all but one word of it, its begin; each with what is left out. None where it says "if"."""
    if any(token.type == "IF" for token in tokens):
        return []
    parts = [(tokens[i:], tokens[:i]) for i in range(1, len(tokens) - 1)][:TRIES]
    spare = [i for i, token in enumerate(tokens) if i and token.type not in NEVER]
    parts += [([*tokens[:i], *tokens[i + 1 :]], [Token("NOT", "")]) for i in spare][: TRIES * 4 // len(tokens)]
    parts += [(tokens[:-i], tokens[-i:]) for i in range(1, min(4, len(tokens) - 1))]
    named = of_rule("inner") | {"QMARK"}
    kept = [({t.type for t in part}, {t.type for t in rest}, part, rest) for part, rest in parts if len(part) > 2]
    return [(part, rest) for types, left, part, rest in kept if types - named and not ASKING & left]


def _quoted(text, tokens):
    """The sentence with its end as a name in quotes, where that is read."""
    named = of_rule("inner")
    for i, token in enumerate(tokens[1:8], 1):
        name = text[token.start_pos : tokens[-1].end_pos].strip("\"'“”„«»‘’")
        if token.type in named and readings([*tokens[:i], Token("QUOTED", name)]):
            return (f"{text[: token.start_pos]}“{name}”",)
    return ()
