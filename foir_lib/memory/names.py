"""Names as people say them: how they are kept and compared, and what to answer where one names several things or none."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

from foir_lib.errors import InputError

LONGEST = 20_000  # letters of a name or a value
SIMILAR = 60  # letters that are compared for similar names
ARTICLE = re.compile(r"^(?:the|a|an) (?=\S)")
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
    names = [name[:SIMILAR] for thing in things for name in (thing.name, *thing.aliases)]
    close = difflib.get_close_matches(said[:SIMILAR], names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "show it and give it this name first."
    return InputError(f"There is no thing {said!r} in the memory: {hint}")
