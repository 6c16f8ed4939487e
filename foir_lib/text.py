"""Text of data where people read it, on a page, in a figure, in a terminal: one line, and nothing in it that does something; and the words
of a command line."""

import re
from collections.abc import Collection, Mapping, Sequence

from markupsafe import Markup

from foir_lib.errors import InputError

LABEL, LONGEST, SENTENCE = 60, 200, 1000  # characters of what stands beside others, by itself, and of a sentence
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(value: object, longest: int | None = LONGEST) -> str:
    """``value`` as one line of at most ``longest`` characters (None: all), its middle left out where it has more.

    Line ends and tabs are spaces; other controls, those of a terminal or of the direction of writing, and what no file can
    hold in UTF-8, are written out: ``\\x1b``, ``\\u202e``.
    """
    line = str(value)
    if longest is not None and len(line) > longest:
        tail = longest // 3
        line = f"{line[: longest - tail - 1]}…{line[len(line) - tail :]}"
    return _CONTROLS.sub(lambda one: " " if one[0].isspace() else one[0].encode("unicode_escape").decode(), line)


def markup(template: str, *values: object) -> Markup:
    """HTML of a ``template`` with a ``{}`` for each value: what is :class:`Markup` stays, anything else is text of one line."""
    return Markup(template).format(*(one if isinstance(one, Markup) else _isolated(one_line(one, SENTENCE)) for one in values))


def _isolated(line: str) -> Markup:
    """Text as HTML; what is written from right to left leaves its neighbours where they are."""
    return Markup("<bdi>{}</bdi>" if _RIGHT_TO_LEFT.search(line) else "{}").format(line)


def percent(share: float) -> str:
    """A share from 0 to 1 as percent, "70 %" or "52.6 %": one rounding, so that a number reads the same wherever it stands."""
    return f"{_decimal(100 * share)} %"


def points(gain: float) -> str:
    """A difference of two shares in points, with its sign: "+40", "\N{MINUS SIGN}35.7", "+0"."""
    size = _decimal(abs(100 * gain))
    return ("\N{MINUS SIGN}" if gain < 0 and float(size) else "+") + size


def score(value: float) -> str:
    """A similarity or another score that is no percentage, "0.873": three decimals."""
    return f"{value + 0.0:.3f}"


def _decimal(value):
    """One decimal; none where there is nothing behind the point."""
    return f"{value:.0f}" if abs(value - round(value)) < 1e-6 * max(1, abs(value)) else f"{value:.1f}"


def joined(arguments: Sequence[str]) -> list[str]:
    """``-p NAME VALUE``, as papermill has it, as the one word ``-pNAME=VALUE`` that typer reads."""
    words, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "-p" and len(rest) >= 2 and "=" not in rest[0]:
            word = f"-p{rest.pop(0)}={rest.pop(0)}"
        words.append(word)
        if word == "--":
            return words + rest
    return words


def pairs(words: Collection[str], options: Mapping[str, object]) -> dict[str, str]:
    """The parameters of ``-p``; InputError for one without a value or given twice, also among ``options``."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"-p {word} has no value: write -p {word} VALUE.")
        if name in values or options.get(name) is not None:
            raise InputError(f"Parameter {name} is given twice: give it once.")
        values[name] = value
    return values
