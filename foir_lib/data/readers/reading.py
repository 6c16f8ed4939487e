"""What the readers share: faults out in one sentence, ids and files checked, boxes put into their pictures."""

import os
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import compress
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from foir_lib.data import checks
from foir_lib.data.protocol import Protocol
from foir_lib.data.sets import COLUMNS, CORNERS, RetrievalSet
from foir_lib.data.values import labels, line, short
from foir_lib.errors import InputError, MissingError
from foir_lib.files import as_path, listing
from foir_lib.notices import note
from foir_lib.prompts import Box

LONGEST = 300  # letters of a value in a sentence
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
        values = [short(value, LONGEST, quoted=False) if isinstance(value, str) else value for value in values]
        raise InputError(line(f"{where} {sentence.format(*values, n=bad.sum())}."))


def unique(values: Sequence[Hashable], where: str) -> None:
    """InputError when an id of the list ``where`` is there twice."""
    twice = pd.Series(values, dtype=object).duplicated()
    refuse(twice, where, "has the id {!r} twice: ids must be unique", values)


def apart(images: pd.DataFrame, query: str, database: str) -> None:
    """InputError when one of the images is in both splits, which are called ``query`` and ``database``."""
    both = "{} is in both {} and {} ({n} such ids): a query picture must not be in the database"
    splits = ([name] * len(images) for name in (query, database))
    refuse(images["image_id"].duplicated(), "Image id", both, images["image_id"], *splits)


def absent(paths: Sequence[str]) -> list[bool]:
    """Which files are not there. Lists folders, never stats files."""
    there = {folder: listing(folder) for folder in set(map(os.path.dirname, paths))}
    return [os.path.basename(path) not in there[os.path.dirname(path)] for path in paths]


def need_files(paths: Sequence[str], what: str) -> None:
    """MissingError when files are lacking: names the first, counts them."""
    lacking = list(compress(paths, absent(paths)))
    if lacking:
        fact = f"{len(lacking)} of {len(paths)} pictures of {what} are missing, first {short(lacking[0], LONGEST, quoted=False)}"
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
    its values of ``columns``. Clipped: all that reaches outside, noted beyond a hair. Dropped and noted: boxes without area.
    InputError (strict off: dropped too): numbers that aren't finite, inverted boxes, boxes wholly outside; and boxes as shares
    of the picture.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    sizes = np.asarray(sizes, dtype=np.float64).reshape(-1, 2)
    low, high = boxes[:, :2], boxes[:, 2:]
    within = checks.shares(boxes, sizes)
    are_shares = 2 * within.sum() > len(boxes)
    faults = (
        (~np.isfinite(boxes).all(1), "is not made of finite numbers: give four pixel positions"),
        ((high < low).any(1), "is inverted: its end lies before its start, check x, y, width and height"),
        ((low > sizes + HAIR).any(1) | (high < -HAIR).any(1), OUTSIDE),
    )
    fact = f"{name} has the box ({{:g}}, {{:g}}, {{:g}}, {{:g}}) on a picture of {{:g}} x {{:g}} pixels, which"
    for faulty, problem in ((within & are_shares, checks.SHARES), *(faults if strict else ())):
        refuse(faulty, f"{where}:", f"{fact} {problem} ({{n}} such boxes)", *columns, *boxes.T, *sizes.T)
    bad = np.any([faulty for faulty, _ in faults], axis=0)
    clipped = np.clip(boxes, 0, np.tile(sizes, 2))
    far = (np.abs(clipped - boxes) > HAIR).any(1) & ~bad
    within &= (high <= 1).all(1)
    keep = ~bad & ~within & (clipped[:, 2:] > clipped[:, :2]).all(1)
    outside = f"boxes reached more than {HAIR:g} pixel outside their pictures and were clipped"
    corner, empty = "boxes in the first pixel (shares of the picture?) were left out", "boxes without area were left out"
    for some, reason in ((far, outside), (within, corner), (~keep & ~within, empty)):
        first = [list(column)[some.argmax()] for column in columns] if some.any() else ()
        note(reason, f"{name.format(*first)} in {where}" if some.any() else "", int(some.sum()))
    return clipped, keep


def whole_pictures(images: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Table objects in which each of the images as a whole is one object, by its label of ``labels`` (n)."""
    box = dict(zip(CORNERS, (0, 0, images["width"], images["height"]), strict=True))
    objects = images[["image_id"]].assign(label=list(labels), **box, ignore=False)
    return objects.assign(segmentation=pd.Series([None] * len(images), images.index, dtype=object))[COLUMNS["objects"]]


def query_tables(image_ids: Sequence[str], names: Sequence[str], boxes: np.ndarray) -> tuple[pd.DataFrame, ...]:
    """Tables queries and objects in which query i is the object in box i (n, 4) of a picture, by its name.

    Raises InputError for a box without area.
    """
    objects = pd.DataFrame({"image_id": image_ids, "label": labels(names), "ignore": False, "segmentation": None})
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
    images, objects = images.reset_index(drop=True), objects.reset_index(drop=True).assign(label=labels(objects["label"]))
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
    result = RetrievalSet(name, images, objects, queries, {"contains": protocol})
    drawn = queries[objects["segmentation"].notna().to_numpy()[queries["object"]]]
    broken = ~result.has_mask(drawn["object"])
    example = f"{drawn['label'].iloc[broken.argmax()]} of image {drawn['image_id'].iloc[broken.argmax()]}" if broken.any() else ""
    note("masks of queries that can't be read; they ask with their boxes", example, int(broken.sum()))
    return result


def instance_set(
    name: str, images: pd.DataFrame, objects: pd.DataFrame, settings: dict | None = None, first: int | None = None
) -> RetrievalSet:
    """As :func:`make_set` for labels that are instances, with the protocol "instances": mAP over all positives; with ``first``
    "instances@1000", say, which looks at so many places.

    Positives are the database images that hold the query's instance; images with nothing but objects of it that are marked
    ``ignore`` (hardly seen) are ignored.
    """
    result = make_set(name, images, objects, ignored_positives=False)
    contains, database = result.protocols["contains"], pd.Index(result.database["image_id"])
    doubtful = result.objects[result.objects["ignore"] & result.objects["image_id"].isin(database)]
    rows_of = doubtful.groupby("label")["image_id"].agg(lambda ids: np.unique(database.get_indexer(ids)))
    ignored = {label: np.setdiff1d(rows_of.get(label, ()), rows).astype(int) for label, rows in contains.positive.items()}
    definition, kind = (f"textbook@{first}", f"instances@{first}") if first else ("textbook", "instances")
    protocol = Protocol(contains.groups, contains.positive, ignored, contains.own, definition=definition)
    return replace(result, protocols={kind: protocol}, settings=settings or {})


def without_boxes(result: RetrievalSet) -> RetrievalSet:
    """The same set without the objects of its database, which are OWLv2's to detect."""
    keep = result.objects["image_id"].isin(result.query_images["image_id"]).to_numpy()
    at = np.r_[np.cumsum(keep) - 1, -1]  # the last entry answers for -1
    queries = result.queries.assign(object=at[result.queries["object"]])
    return replace(result, objects=result.objects[keep], queries=queries, settings=result.settings | {"objects": "owlv2"})


def _queries(objects):
    """The queries table in which each of ``objects`` is a query, by its box."""
    prompts = pd.Series([Box(*box) for box in objects[CORNERS].to_numpy().tolist()], objects.index, dtype=object)
    return objects[["image_id", "label"]].assign(prompt=prompts, object=objects.index)[COLUMNS["queries"]]
