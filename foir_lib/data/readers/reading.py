"""What the readers share: JSON and text in, faults out in one sentence, boxes put into their pictures."""

import json
import os
import warnings
from collections.abc import Callable, Hashable, Sequence
from itertools import compress, islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from foir_lib.data.protocol import Protocol
from foir_lib.data.sets import COLUMNS, CORNERS, RetrievalSet
from foir_lib.errors import InputError, MissingError
from foir_lib.files import as_path, listing
from foir_lib.prompts import Box

HAIR = 1.0  # pixels by which a box may reach outside its picture and be clipped without a word
OUTSIDE = "lies outside its picture: the annotations belong to pictures of another size"


def need(path: str | PathLike, what: str, remedy: str) -> Path:
    """``path`` as Path; MissingError when nothing is there."""
    path = as_path(path)
    if not os.path.exists(path):
        raise MissingError(f"There is no {what} at {path}: {remedy}")
    return path


def refuse(bad: ArrayLike, where: object, sentence: str, *columns: Sequence) -> None:
    """InputError for the first row that is ``bad``, bool (n,), if one is: a ``sentence`` about its values of ``columns``.

    The values take the places {} of the sentence, the number of bad rows that of {n}; ``where`` stands before it.
    """
    bad = np.asarray(bad, dtype=bool)
    if bad.any():
        values = [list(column)[bad.argmax()] for column in columns]
        raise InputError(f"{where} {sentence.format(*values, n=bad.sum())}.")


def read_text(path: str | PathLike, empty: bool = False) -> str:
    """Content of a UTF-8 text file; InputError when it is no text, or empty, unless it may be ``empty``."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text (byte {error.start}): get the file again.") from error
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}): check that it is a file of yours.") from error
    if not (text.strip() or empty):
        raise InputError(f"{path} is empty: get the file again.")
    return text


def read_json(path: str | PathLike, hook: Callable[[dict], Any] | None = None) -> Any:
    """Content of a JSON file; InputError with line and column when it is broken. hook: called with each object."""
    try:
        return json.loads(read_text(path), object_hook=hook)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} is broken JSON at line {error.lineno}, column {error.colno} ({error.msg}): get the file again."
        ) from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply to be annotations: get the file again.") from error


def read_csv(path: str | PathLike, columns: Sequence[str]) -> pd.DataFrame:
    """A table of str with at least these columns; InputError when it lacks one or is no CSV."""
    read_text(path)  # says when it is empty or no text
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path} is no proper CSV ({str(error).strip()}): get or write it again.") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path} is no proper CSV (its first row has more values than columns): get or write it again.")
    table.columns = table.columns.str.strip()
    missing = [name not in table for name in columns]
    refuse(missing, path, f"lacks the column {{}}: its first line must name {','.join(columns)}", columns)
    return table


def table(records: list, where: str, **types: type) -> pd.DataFrame:
    """Table of the keys of ``records``, each of its type; see :func:`column`."""
    return pd.DataFrame({key: column(records, key, where, kind) for key, kind in types.items()})


def column(records: list, key: str, where: str, *types: type) -> list:
    """``[record[key] for record in records]``; InputError names the first that lacks the key or has another type."""
    try:
        values = [record[key] for record in records]
    except (KeyError, TypeError, IndexError):
        row = next(i for i, record in enumerate(records) if not isinstance(record, dict) or key not in record)
        raise InputError(f"{where}[{row}] lacks the key {key!r}: repair the file or get it again.") from None
    if not set(map(type, values)) <= set(types):
        row = next(i for i, value in enumerate(values) if type(value) not in types)
        kinds = " or ".join(t.__name__ for t in types)
        fault = f"has {key!r} = {str(values[row])[:60]!r}, which is no {kinds}"
        raise InputError(f"{where}[{row}] {fault}: repair the file or get it again.")
    return values


def unique(values: Sequence[Hashable], where: str) -> None:
    """InputError when an id of the list ``where`` is there twice."""
    twice = pd.Series(values, dtype=object).duplicated()
    refuse(twice, where, "has the id {!r} twice: ids must be unique", values)


def apart(images: pd.DataFrame, query: str, database: str) -> None:
    """InputError when one of the images is in both splits, which are called ``query`` and ``database``."""
    both = "{} is in both {} and {} ({n} such ids): a query picture must not be in the database"
    splits = ([name] * len(images) for name in (query, database))
    refuse(images["image_id"].duplicated(), "Image id", both, images["image_id"], *splits)


def need_files(paths: Sequence[str], what: str) -> None:
    """MissingError when files are lacking: names the first, counts them. Lists folders, never stats files."""
    there = {folder: listing(folder) for folder in set(map(os.path.dirname, paths))}
    lacking = [path for path in paths if os.path.basename(path) not in there[os.path.dirname(path)]]
    if lacking:
        fact = f"{len(lacking)} of {len(paths)} pictures of {what} are missing, first {lacking[0]}"
        raise MissingError(f"{fact}: get the pictures, or set check_files=False.")


def fit_objects(
    objects: pd.DataFrame, images: pd.DataFrame, where: str, name: str, *columns: Sequence, strict: bool = True
) -> pd.DataFrame:
    """The objects with their boxes clipped to their pictures in the table ``images``; as :func:`fit_boxes` says."""
    sizes = images.set_index("image_id")[["width", "height"]].loc[objects["image_id"]]
    boxes, keep = fit_boxes(objects[CORNERS], sizes, where, name, *columns, strict=strict)
    return objects.assign(**dict(zip(CORNERS, boxes.T)))[keep]


def fit_boxes(
    boxes: np.ndarray, sizes: np.ndarray, where: str, name: str, *columns: Sequence, strict: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes clipped to their pictures, and which to keep: float (n, 4), bool (n,).

    boxes (n, 4): x0, y0, x1, y1 in pixels; sizes (n, 2): width, height; name: what to call a box in a sentence, with
    its values of ``columns``. Clipped: all that reaches outside, with a warning beyond a hair. Dropped with a counted
    warning: boxes without area. InputError (strict off: dropped too): numbers that aren't finite, inverted boxes,
    boxes wholly outside.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    sizes = np.asarray(sizes, dtype=np.float64).reshape(-1, 2)
    low, high = boxes[:, :2], boxes[:, 2:]
    faults = (
        (~np.isfinite(boxes).all(1), "is not made of finite numbers: give four pixel positions"),
        ((high < low).any(1), "is inverted: its end lies before its start, check x, y, width and height"),
        ((low > sizes + HAIR).any(1) | (high < -HAIR).any(1), OUTSIDE),
    )
    fact = f"{name} has the box ({{:g}}, {{:g}}, {{:g}}, {{:g}}) on a picture of {{:g}} x {{:g}} pixels, which"
    for faulty, problem in faults if strict else ():
        refuse(faulty, f"{where}:", f"{fact} {problem} ({{n}} such boxes)", *columns, *boxes.T, *sizes.T)
    bad = np.any([faulty for faulty, _ in faults], axis=0)
    clipped = np.clip(boxes, 0, np.tile(sizes, 2))
    far = (np.abs(clipped - boxes) > HAIR).any(1) & ~bad
    if far.any():
        first = name.format(*(list(column)[far.argmax()] for column in columns))
        outside = f"reached more than {HAIR:g} pixel outside their pictures and were clipped"
        warnings.warn(f"{where}: {far.sum()} boxes {outside}, first {first}.", stacklevel=4)
    keep = ~bad & (clipped[:, 2:] > clipped[:, :2]).all(1)
    if not keep.all():
        some = [name.format(*values) for values in islice(zip(*(compress(column, ~keep) for column in columns)), 3)]
        some += ["..."] if (~keep).sum() > 3 else []
        warnings.warn(f"{where}: {(~keep).sum()} boxes without area were left out: {', '.join(some)}.", stacklevel=4)
    return clipped, keep


def query_tables(image_ids: Sequence[str], labels: Sequence[str], boxes: np.ndarray) -> tuple[pd.DataFrame, ...]:
    """Tables queries and objects in which query i is the object in box i (n, 4) of a picture.

    Raises InputError for a box without area.
    """
    objects = pd.DataFrame({"image_id": image_ids, "label": labels, "ignore": False, "segmentation": None})
    objects[CORNERS] = boxes
    empty = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    refuse(empty, "Query", "{} has a box without area: get the ground truth again", image_ids)
    return _queries(objects), objects[COLUMNS["objects"]]


def make_set(
    name: str, images: pd.DataFrame, objects: pd.DataFrame,
    ignored_queries: bool = False, ignored_positives: bool = True,
) -> RetrievalSet:  # fmt: skip
    """A RetrievalSet in which every box of a query image is one query, with the protocol "contains" (PHS 4.1).

    Tables as in RetrievalSet. Positives are the database images with an object of the query's label.
    Objects marked ``ignore`` are no queries unless ``ignored_queries`` and count as contained unless
    ``ignored_positives`` is off. Query images without a query leave the query split (PHS 4.1).
    Without any objects there are no queries. Raises InputError if objects are there but none is a query.
    """
    images, objects = images.reset_index(drop=True), objects.reset_index(drop=True)
    on_query = objects["image_id"].isin(images["image_id"][images["split"] != "database"]).to_numpy()
    is_query = on_query & (ignored_queries | ~objects["ignore"].to_numpy(dtype=bool))
    if len(objects):
        if not is_query.any():
            raise InputError(f"{name} has no queries: no query image holds an object that may be a query.")
        silent = ~images["image_id"].isin(objects["image_id"][is_query]) & (images["split"] != "database")
        split = images["split"].mask(silent & (images["split"] == "both"), "database")
        images = images.assign(split=split)[~(silent & (split == "query"))]
        rest = objects["image_id"].isin(images["image_id"]).to_numpy()
        objects, is_query = objects[rest].reset_index(drop=True), is_query[rest]
    queries = _queries(objects[is_query])
    database = pd.Index(images["image_id"][images["split"] != "query"])
    rows = database.get_indexer(objects["image_id"])
    counted = (rows >= 0) & (ignored_positives | ~objects["ignore"].to_numpy(dtype=bool))
    rows_of = pd.Series(rows[counted]).groupby(objects["label"].to_numpy()[counted]).unique()
    positive = {label: rows_of.get(label, ()) for label in queries["label"].unique()}
    own = database.get_indexer(queries["image_id"])
    protocol = Protocol(queries["label"], positive, own=own, metric="focus")
    return RetrievalSet(name, images, objects, queries, {"contains": protocol})


def _queries(objects):
    """The queries table in which each of ``objects`` is a query, by its box."""
    prompts = pd.Series([Box(*box) for box in objects[CORNERS].to_numpy().tolist()], objects.index, dtype=object)
    return objects[["image_id", "label"]].assign(prompt=prompts, object=objects.index)[COLUMNS["queries"]]
