"""Names as people say them: how they are kept and compared, and what to answer where one names several things or none."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

from foir_lib.errors import InputError

LONGEST = 20_000  # letters of a name or a value
SIMILAR, ALIKE = 60, 0.6  # letters that are compared for similar names, and how alike those are that are named
ARTICLE = re.compile(r"^(?:the|a|an) (?=\S)")
HEARD = {"mine": "yours", "ours": "yours", "yours": "mine", "theirs": "theirs"}  # owners as the listener says them
WORDLESS = ("one", "thing")  # "the blue one"


def text(said: str, what: str) -> str:
    """A name or value as it is kept: one line, composed letters. InputError for none, for controls, for more than LONGEST letters."""
    if not isinstance(said, str):
        raise InputError(f"The {what} {said!r} is no text: give words.")
    line = " ".join(unicodedata.normalize("NFC", said).split())
    if not line:
        raise InputError(f"The {what} is empty: give at least one letter.")
    if len(line) > LONGEST:
        raise InputError(f"The {what} has {len(line)} letters: give at most {LONGEST}.")
    if bad := [letter for letter in line if unicodedata.category(letter) in ("Cc", "Cs")]:
        raise InputError(f"The {what} holds the control character {ascii(bad[0])}: write it without.")
    return line


def plain(said: str) -> str:
    """A name as it is compared: without case, article and double spaces, with straight apostrophes."""
    return ARTICLE.sub("", " ".join(unicodedata.normalize("NFKC", said).casefold().replace("’", "'").split()))


def asked(said: str) -> set[str]:
    """The words that tell a thing from others: of "the blue one", "blue"."""
    return {word for word in plain(said).replace(":", " ").split() if word not in WORDLESS}


def words(thing) -> set[str]:
    """All words of the names and properties of a Thing or Card."""
    said = [thing.name, *thing.aliases, *thing.properties, *thing.properties.values()]
    return {word for one in said for word in plain(one).split()}


def exactly(said: str, things: Iterable) -> list:
    """The Things of exactly this name or alias, article and case aside."""
    return [thing for thing in things if plain(said) in map(plain, (thing.name, *thing.aliases))]


def ambiguous(said: str, things: Iterable) -> InputError:
    """What to answer where several Things are called so."""
    return InputError(f"{said!r} is the name of {len(things)} things: {'; '.join(map(told, things))}. Say which, by id or a property.")


def told(thing) -> str:
    """A Thing in a sentence: name, properties, number of views, begin of its id."""
    values = ", ".join(f"{key}: {value}" for key, value in thing.properties.items())
    return f"{thing.name!r} ({', '.join(filter(None, [values, f'{len(thing.views)} views', thing.id[:8]]))})"


def nothing(said: str, things: Iterable) -> InputError:
    """What to answer where no Thing is called so: the nearest names."""
    close = [repr(thing.name[:SIMILAR]) for thing in near(said, things)]
    hint = f"did you mean {' or '.join(close)}?" if close else "show it and give it this name first."
    return InputError(f"There is no thing {said!r} in the memory: {hint}")


def sentence_of(name: str, key: str, value: str) -> str:
    """A property as a sentence: "the mug belongs to the lab", "the colour of the mug is blue"."""
    if key == "belongs to":
        return f"{name} is {HEARD[value]}" if value in HEARD else f"{name} belongs to {value}"
    return f"{name} is made of {value}" if key == "material" else f"the {key} of {name} is {value}"


def said_of(key: str, value: str) -> str:
    """A property in a list: "colour blue", "belongs to the lab", "yours" where the speaker said "mine"."""
    return HEARD[value] if key == "belongs to" and value in HEARD else f"{key} {value}"


def near(said: str, things: Iterable, n: int = 3) -> list:
    """Things, nearest first, of whose names or aliases ``said`` may be a slip, article and case aside."""
    close, asks = {}, plain(said)[:SIMILAR]
    for thing in things:
        for name in (thing.name, *thing.aliases):
            if (ratio := difflib.SequenceMatcher(None, asks, plain(name)[:SIMILAR]).ratio()) >= ALIKE:
                close[thing.id] = max((ratio, thing), close.get(thing.id, (0, thing)), key=lambda one: one[0])
    return [thing for _, thing in sorted(close.values(), key=lambda one: -one[0])[:n]]


def slips(said: str, things: Iterable) -> list:
    """Things one of whose names differs from ``said`` in one slip of one longer word without digits: "the lab's mugg"."""
    return [thing for thing in things if any(_slip(plain(said).split(), plain(name).split()) for name in (thing.name, *thing.aliases))]


def _slip(a, b):
    other = [(x, y) for x, y in zip(a, b) if x != y]
    if len(a) != len(b) or len(other) != 1:
        return False
    x, y = other[0]
    longer = min(len(x), len(y)) >= 3 and max(len(x), len(y)) >= 4 and not any(letter.isdigit() for letter in x + y)
    swapped = len(x) == len(y) and sorted(x) == sorted(y) and sum(p != q for p, q in zip(x, y)) == 2
    return longer and (swapped or _one_letter(x, y))


def _one_letter(x, y):
    """Whether one letter was added, left out or taken for another inside of a word that begins alike."""
    short, long = sorted((x, y), key=len)
    i = next((i for i, (p, q) in enumerate(zip(short, long)) if p != q), len(short))
    return i > 0 and len(long) - len(short) <= 1 and short[i + (len(long) == len(short)) :] == long[i + 1 :]
