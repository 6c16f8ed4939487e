"""Errors a user can act on: one sentence that names the thing, the value and the remedy."""

import difflib
import importlib
import math
import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

BEGIN, END = 1000, 500  # letters of a sentence that stay when something in it is longer than any name


class FoirError(Exception):
    """Base of every error the workbook raises on purpose; the CLI prints its text, begin and end of a very long one, and nothing else."""

    def __str__(self) -> str:
        text = super().__str__()
        return text if len(text) <= BEGIN + END else f"{text[:BEGIN]} ... {text[-END:]}"


class InputError(FoirError, ValueError):
    """A value, a prompt, a picture or an annotation that can't be used as it is."""


class MissingError(FoirError, FileNotFoundError):
    """A file, folder, data set or model that isn't where it was looked for."""


class IntegrityError(InputError):
    """A file that is there but isn't what it should be: wrong checksum, cut short, other version."""


def count(value, name: str, low: int = 1, high: int | None = None):
    """``value`` if it is a whole number from ``low`` on (to ``high``), else InputError that names it."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise InputError(f"{name}={value!r} must be a whole number, {bounds}.")
    return value


@contextmanager
def parsing(fault: str, remedy: str = "get the file again", error: type[InputError] = InputError) -> Iterator[None]:
    """Whatever a parser raises inside becomes one sentence: the ``fault`` of which thing, what the parser says, the ``remedy``."""
    try:
        yield
    except FoirError:
        raise
    except Exception as cause:  # parsers raise almost anything at damaged bytes
        says = " ".join(f"{cause}".split())[:200] or type(cause).__name__
        if isinstance(cause, MemoryError):
            says = "it asks for more memory than there is"
        raise error(f"{fault} ({says}): {remedy}.") from cause


def finite(value) -> bool:
    """Whether ``value`` is a real number that a float can hold."""
    try:
        return isinstance(value, numbers.Real) and math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def number(value, name: str, low: float = -math.inf, high: float = math.inf, above: float | None = None):
    """``value`` if it is a finite number from ``low`` to ``high``, or ``above`` a bound; else InputError that names it."""
    if not finite(value) or isinstance(value, bool) or not low <= value <= high or (above is not None and value <= above):
        bounds = [f"above {above}"] if above is not None else [f"at least {low}"] if low > -math.inf else []
        bounds += [f"at most {high}"] if high < math.inf else []
        raise InputError(f"{name}={value!r} must be a finite number{', ' if bounds else ''}{' and '.join(bounds)}.")
    return value


def unknown(what: str, name, known) -> InputError:
    """The InputError for a ``name`` that is none of ``known``, with the nearest ones."""
    known = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? Known" if close else "known"
    return InputError(f"There is no {what} {name!r}: {hint} are {', '.join(known)}.")


def library(name: str, use: str) -> ModuleType:
    """A library of the extra "scale", imported when it is first used. Raises MissingError that says for which ``use`` it must be installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        wanted = "pymilvus milvus-lite" if name == "pymilvus" else name
        raise MissingError(f"{use} needs {name}: pip install {wanted}.") from error
