"""What reading a folder or a data set leaves out, turns or guesses, as a table; nothing is computed."""

import ast
import warnings
from os import PathLike

import pandas as pd

from foir_lib.data import RetrievalSet, load_set
from foir_lib.errors import FoirError

WORDS = {"true": True, "false": False, "none": None}


def check(root: str | PathLike, name: str = "folder", **options) -> tuple[RetrievalSet, pd.DataFrame]:
    """The set registered as ``name`` in the folder ``root``, and its notices: n, notice, first (an example).

    options: those of its reader; a text may stand for a number, true, false or none. Raises InputError and MissingError as
    `load_set` does, after a warning of what was noted until then.
    """
    values = {key: _value(value) for key, value in options.items()}
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            retrieval_set = load_set(name, root=root, **values)
    except FoirError:
        for one in told:
            warnings.warn(str(one.message), stacklevel=2)
        raise
    table = pd.DataFrame(retrieval_set.notices, columns=["notice", "n", "first"])
    return retrieval_set, table[["n", "notice", "first"]]


def _value(text):
    """What a word of the command line stands for."""
    if not isinstance(text, str) or text.lower() in WORDS:
        return WORDS[text.lower()] if isinstance(text, str) else text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, int | float) else text
