"""Files as text, JSON and tables: what is no plain file, or can't be parsed, is one sentence."""

import json
from collections.abc import Callable, Sequence
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foir_lib.data import values
from foir_lib.data.values import short
from foir_lib.errors import InputError, parsing


def read_bytes(path: str | PathLike) -> bytes:
    """Content of a plain file; InputError when it is none, or can't be read."""
    if not Path(path).is_file():  # a folder, or what one would wait for
        raise InputError(f"{path} can't be read (it is no plain file): check that it is a file of yours.")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}): check that it is a file of yours.") from error


def read_text(path: str | PathLike, empty: bool = False) -> str:
    """Content of a UTF-8 text file; InputError when it is no text, or empty, unless it may be ``empty``."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text (byte {error.start}): get the file again.") from error
    if not (text.strip() or empty):
        raise InputError(f"{path} is empty: get the file again.")
    return text


def read_json(path: str | PathLike, hook: Callable[[dict], Any] | None = None) -> Any:
    """Content of a JSON file; InputError with line and column when it is broken. hook: called with each object."""
    text = read_text(path)
    try:
        with parsing(f"{path} is no proper JSON"):
            return json.loads(text, object_hook=hook)
    except InputError as error:
        cause = error.__cause__
        if isinstance(cause, json.JSONDecodeError):
            at = f"at line {cause.lineno}, column {cause.colno} ({cause.msg})"
            raise InputError(f"{path} is broken JSON {at}: get the file again.") from cause
        if isinstance(cause, RecursionError):
            raise InputError(f"{path} is nested too deeply to be annotations: get the file again.") from cause
        raise


def read_csv(path: str | PathLike, columns: Sequence[str]) -> pd.DataFrame:
    """A table of str with at least these columns; InputError when it lacks one or is no CSV."""
    text = read_text(path)  # says when it is empty or no text
    with parsing(f"{path} is no proper CSV", "get or write it again"):
        table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False, skipinitialspace=True)
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path} is no proper CSV (its first row has more values than columns): get or write it again.")
    table.columns = table.columns.str.strip()
    table = table.loc[:, ~table.columns.duplicated()].fillna("")
    need_columns(table, columns, path)
    return table


def boxes(path: str | PathLike) -> np.ndarray:
    """Boxes of a text file with a line ``x y w h`` in pixels for each: x0, y0, x1, y1, float (n, 4). InputError for another line, or none."""
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    for line in lines:
        box = values.numbers(line.split())
        if len(box) != 4 or not np.isfinite(box).all():
            raise InputError(f"{path} has the line {short(line)}, not x y w h in pixels: get the file again.")
    x, y, w, h = np.array([values.numbers(line.split()) for line in lines]).T
    return np.stack([x, y, x + w, y + h], axis=1)


def need_columns(table: pd.DataFrame, columns: Sequence[str], path: str | PathLike) -> None:
    """InputError when the table of a CSV file lacks one of some columns."""
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path} lacks the column {missing[0]}: its first line must name {','.join(columns)}.")


def table(records: list, where: str, **types: type) -> pd.DataFrame:
    """Table of the keys of ``records``, each of its type; see :func:`column`."""
    return pd.DataFrame({key: column(records, key, where, kind) for key, kind in types.items()})


def column(records: list, key: str, where: str, *types: type) -> list:
    """``[record[key] for record in records]``; InputError names the first that lacks the key or has none of ``types``, if any."""
    try:
        cells = [record[key] for record in records]
    except (KeyError, TypeError, IndexError):
        row = next(i for i, record in enumerate(records) if not isinstance(record, dict) or key not in record)
        raise InputError(f"{where}[{row}] lacks the key {key!r}: repair the file or get it again.") from None
    if types and not set(map(type, cells)) <= set(types):
        row = next(i for i, value in enumerate(cells) if type(value) not in types)
        kinds = " or ".join(t.__name__ for t in types)
        fault = f"has {key!r} = {str(cells[row])[:60]!r}, which is no {kinds}"
        raise InputError(f"{where}[{row}] {fault}: repair the file or get it again.")
    return cells


def ids(path: str | PathLike, **lists: tuple[list, str]) -> list[list]:
    """Ids of several lists of ``path``, each its records and their key, in one form; InputError for what is no id."""
    raw = [column(records, key, f"{path}: {name}") for name, (records, key) in lists.items()]
    same = values.ids(*raw)
    for name, one, given in zip(lists, same, raw, strict=True):
        if None in one:
            row = one.index(None)
            fact = f"has {lists[name][1]!r} = {short(given[row])}, which is no id"
            raise InputError(f"{path}: {name}[{row}] {fact}: give a whole number or text.")
    return same
