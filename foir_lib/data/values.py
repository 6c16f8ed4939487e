"""Values as annotation files write them: labels, ids, flags and numbers, read where they can mean one thing only."""

import reprlib
import unicodedata
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from foir_lib.errors import InputError

_repr = reprlib.Repr()
UNSEEN = dict.fromkeys([0xFEFF, 0x200B], " ") | dict.fromkeys([0, 0xAD, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070)])
FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


def label(text: str) -> str:
    """A label as it is compared: accents composed (NFC), no spaces around it and single ones inside, nothing that can't be seen."""
    return line(unicodedata.normalize("NFC", text).translate(UNSEEN))


def labels(values: Iterable) -> list:
    """:func:`label` of each text; whole numbers become text, anything else stays as it is."""
    done = {}

    def one(value):
        if isinstance(value, int | np.integer) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            return value
        if value not in done:
            done[value] = label(value)
        return done[value]

    return [one(value) for value in values]


def flags(values: Sequence, what: str) -> np.ndarray:
    """Yes or no, bool (n,), from True, 1, "1", "true", "yes" and their contraries; nothing at all means no.

    Raises InputError that names ``what`` row has something else.
    """
    if getattr(values, "dtype", object) is np.dtype(bool):
        return np.asarray(values)
    return np.array([flag(value, f"{what}, row {row}") for row, value in enumerate(values)], dtype=bool)


def flag(value: object, what: str) -> bool:
    """One of :func:`flags`."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return False
    text = str(int(value)) if isinstance(value, bool | np.bool_) or value in (0, 1) else value
    if not isinstance(text, str) or text.strip().lower() not in FLAGS:
        raise InputError(f"{what}, is {short(value)}, no yes or no: give true or false.")
    return FLAGS[text.strip().lower()]


def whole(value: object) -> int | None:
    """A whole number from 7, 7.0 or "7", None from anything else."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().removeprefix("-").isdecimal() and len(value) < 20:
        return int(value)
    return None


def ids(*lists: list) -> list[list[Hashable]]:
    """Ids of several lists in one form: numbers if all are whole, else text. Anything else becomes None."""
    numbers = [[whole(value) if _spelled(value) else None for value in values] for values in lists]
    if not any(None in values for values in numbers):
        return numbers

    def text(value, number):
        return value.strip() if isinstance(value, str) else None if number is None else str(number)

    return [[text(*pair) for pair in zip(values, n, strict=True)] for values, n in zip(lists, numbers, strict=True)]


def _spelled(value):
    """Whether an id in letters is a number as it is written: "7", not "007"."""
    return not isinstance(value, str) or str(whole(value)) == value.strip()


def numbers(values: Iterable) -> np.ndarray:
    """Numbers, float (n,), from numbers and text; NaN for anything else."""
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value):
    try:
        return np.nan if isinstance(value, bool | np.bool_) else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def line(text: str) -> str:
    """Text as one line that every file and terminal takes: single spaces, halves of letters written out."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def short(value: object, longest: int = 60, quoted: bool = True) -> str:
    """A value of a file in a sentence: one line, never long however deep it is nested; text ``quoted`` or not."""
    try:
        text = value[: 2 * longest] if isinstance(value, str) else _repr.repr(value)
        text = line(repr(text) if quoted and isinstance(value, str) else text)
    except ValueError:  # a number of more digits than Python writes
        text = f"a long {type(value).__name__}"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
