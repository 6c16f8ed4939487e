"""The words of a sentence, as grammar.lark takes them: each with its own letters, its type, and its place."""

import re
from functools import cache
from pathlib import Path

from lark import Lark, Token
from lark.lexer import Lexer

_SEP = r"?!.,;:…()\[\]{}—–¿¡。，、？！；："
_QUOTED = r"\"([^\"]+)\"|“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»|»([^«»]+)«|”([^”]+)”|「([^「」]+)」|『([^『』]+)』|《([^《》]+)》|＂([^＂]+)＂|‹([^‹›]+)›|›([^‹›]+)‹|‚([^‚‘’]+)[‘’]|‘((?:[^‘’]|’(?=\w))+)’|(?<!\S)'((?:[^']|'(?=\w)){1,500})'(?!\w)"  # an apostrophe may begin a name: no search to the end for each
_PIECE = re.compile(rf"{_QUOTED}|([{_SEP}]+)|((?:[^\s{_SEP}]|(?<=\d)[.,:](?=\d))+)")
_BREAK = re.compile(r"[.;!?]+\s+(?:(?:and|then)\s+)*|,?\s+(?:and\s+then|and\s+also|and|then)\s+|,\s+then\s+", re.IGNORECASE)
_SHORT = {"'s": "is", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would", "'m": "am"}
_SHORTENED = frozenset(
    "what where who how that this it there here he she i you we they these those one everything".split()
)
_NOT = {"ca": "can", "wo": "will", "sha": "shall"}
_SLIPS = {  # usual ones, each with one meaning only; any other is asked back
    "whats": "what's", "wheres": "where's", "whos": "who's", "thats": "that's", "theres": "there's", "heres": "here's", "dont": "don't",
    "doesnt": "doesn't", "didnt": "didn't", "isnt": "isn't", "wasnt": "wasn't", "arent": "aren't", "cant": "can't", "cannot": "can't",
    "couldnt": "couldn't", "wont": "won't", "youre": "you're", "theyre": "they're", "im": "i'm", "ive": "i've", "u": "you", "r": "are",
    "pls": "please", "plz": "please", "btw": "by the way", "thx": "thanks", "ty": "thanks", "teh": "the", "waht": "what", "wat": "what",
    "wats": "what's", "wher": "where",
    "tihs": "this", "thsi": "this", "taht": "that", "wich": "which", "gonna": "going to", "gimme": "give me", "lemme": "let me",
    "wanna": "want to", "dunno": "i don't know", "lets": "let us", "let's": "let us", "'tis": "it is", "isn": "isn't", "thier": "their",
}  # fmt: skip


class _Words(Lexer):
    """Hands the words that :func:`words` cut to the parser."""

    def __init__(self, conf):
        pass

    def lex(self, data):
        return iter(data)


@cache
def grammar() -> Lark:
    """The parser of grammar.lark, telling.lark and asking.lark: Earley, all readings kept."""
    here = Path(__file__).parent
    text = "\n".join((here / f"{name}.lark").read_text(encoding="utf-8") for name in ("grammar", "telling", "asking"))
    return Lark(text, parser="earley", lexer=_Words, ambiguity="explicit")


@cache
def keywords() -> dict[str, str]:
    """Each keyword of the grammar and the type of its token: "this" -> "THIS"."""
    return {
        word: t.name
        for t in grammar().terminals
        for word in t.pattern.value.removeprefix("(?:").removesuffix(")").split("|")
    }


@cache
def of_rule(*names: str) -> frozenset[str]:
    """Token types of the words that rules hold directly or by the rules they name."""
    found, todo = set(), list(names)
    while todo:
        name = todo.pop()
        for rule in grammar().rules:
            if rule.origin.name == name:
                found |= {s.name for s in rule.expansion if s.is_term}
                todo += [s.name for s in rule.expansion if not s.is_term]
    return frozenset(found)


def words(text: str) -> list[Token]:
    """The tokens of a sentence, each with its own letters as value and its place in ``text``."""
    tokens, begins = [], True
    shout = text.isupper()
    for piece in _PIECE.finditer(text):
        *quoted, marks, word = piece.groups()
        at = {"start_pos": piece.start(), "end_pos": piece.end()}
        if marks:
            tokens.append(Token("QMARK" if set(marks) & set("?？") else "SEP", marks, **at))
            begins = begins or bool(set(marks) & set(".!?…。！？"))
            continue
        if word is None:
            inside = next(q for q in quoted if q is not None).strip()
            tokens += [Token("QUOTED", inside, **at)] if inside else []
        else:
            plain = word.replace("’", "'").replace("‘", "'").lower()
            for one in _spelled_out(_SLIPS.get(plain, plain)):
                tokens.append(Token(_type(one, word, begins or shout), _letters(one, word, plain, begins), **at))
        begins = False
    return _parted(_its(tokens))


def breaks(text: str) -> list[tuple[int, int]]:
    """Where a sentence may be two: the places (begin, end) of "and", "then" and of marks that end a sentence, outside of quotes."""
    quoted = [(t.start_pos, t.end_pos) for t in words(text) if t.type == "QUOTED"]
    places = [found.span() for found in _BREAK.finditer(text)]
    return [(a, b) for a, b in places if a > 0 and b < len(text) and not any(x < b and a < y for x, y in quoted)]


def _spelled_out(word):
    """ "what's" -> what is; "don't" -> do not; "going to" -> going to."""
    if " " in word:
        return [one for part in word.split() for one in _spelled_out(part)]
    if word.endswith("n't") and (stem := _NOT.get(word[:-3], word[:-3])) in keywords():
        return [stem, "not"]
    for ending, full in _SHORT.items():
        if word.endswith(ending) and word[: -len(ending)] in _SHORTENED:
            return [word[: -len(ending)], full]
    return [word]


def _letters(one, word, plain, begins):
    """A word in its own letters, but the capital that begins a sentence is none of a keyword's own."""
    return one if one != plain or (begins and word.istitle() and plain in keywords()) else word


def _type(plain, word, begins):
    if plain in keywords():
        return keywords()[plain]
    if plain.endswith(("'s", "s'")) and len(plain) > 2:
        return "POSS"
    if plain.isdecimal() and len(plain) < 10:
        return "NUMBER"
    return "PROPER" if word[:1].isupper() and not begins and not (word.isupper() and len(word) > 1) else "WORD"


def _its(tokens):
    """ "its colour" and "it's colour" are its own; "its the mug" is "it is the mug"."""
    fixed, i = [], 0
    owned = of_rule("key") | {"NAME", "NEW"}
    while i < len(tokens):
        here, after = tokens[i], [t.type for t in tokens[i + 1 : i + 3]]
        at = {"start_pos": here.start_pos, "end_pos": here.end_pos}
        if here.type == "ITS" and not (after and after[0] in owned):
            fixed += [Token("IT", "it", **at), Token("IS", "is", **at)]
        elif (
            here.type == "IT"
            and len(after) == 2
            and after[0] == "IS"
            and after[1] in owned
            and tokens[i + 1].start_pos == here.start_pos
        ):
            fixed.append(Token("ITS", "its", **at))
            i += 1
        else:
            fixed.append(here)
        i += 1
    return fixed


def _parted(tokens):
    """Marks stay only where they part two words that one name could hold; question marks at the end, too."""
    inner = of_rule("inner")
    while tokens and tokens[-1].type == "SEP":
        tokens = tokens[:-1]
    keep = []
    for i, token in enumerate(tokens):
        beside = [t.type for t in tokens[max(i - 1, 0) : i] + tokens[i + 1 : i + 2]]
        if token.type != "SEP" or (len(beside) == 2 and all(b in inner | {"SEP"} for b in beside)):
            keep.append(token)
    return keep
