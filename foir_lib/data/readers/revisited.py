"""Revisited Oxford and Paris (Radenović et al., CVPR 2018) in their official layout.

    root/gnd_roxford5k.pkl  root/jpg/*.jpg      4,993 database and 70 query pictures of 11 landmarks
    root/gnd_rparis6k.pkl   root/jpg/*.jpg      6,322 and 70, of 11 landmarks
    distractors/**/*.jpg                        R1M, 1,001,001 pictures, wherever its 100 archives were unpacked

The pickle is a dict: imlist and qimlist (names without .jpg) and gnd, for each query a dict with its box bbx
(x0, y0, x1, y1 in pixels) and lists easy, hard, junk of positions in imlist. Pictures may also lie in other
folders below the root, as the archives of the original sets make them.
"""

import re
from collections import Counter
from os import PathLike

import numpy as np
import pandas as pd

from foir_lib.data import ground_truth
from foir_lib.data.names import stem
from foir_lib.data.readers import pictures, reading, turned
from foir_lib.data.readers.pickles import load_plain
from foir_lib.data.sets import RetrievalSet
from foir_lib.data.values import numbers, short
from foir_lib.errors import IntegrityError
from foir_lib.registry import register


@register("set", "rparis6k")
@register("set", "roxford5k")
def load(
    root: str | PathLike, name: str = "roxford5k", distractors: str | PathLike | None = None, boxes_on: str | None = None
) -> RetrievalSet:
    """roxford5k or rparis6k as a RetrievalSet with the protocols easy, medium and hard.

    distractors: a folder of further database pictures, R1M. Query pictures are not in the database; a query's prompt
    is the box it is to be cropped to; boxes_on: as for a folder. Raises MissingError for files that are lacking,
    IntegrityError for a pickle that isn't plain data, InputError for boxes off their picture and lists that don't fit.
    """
    remedy = f"expected gnd_{name}.pkl and jpg/*.jpg; `foir data get {name} --root FOLDER` fetches them."
    root = reading.need(root, f"{name} folder", remedy)
    truth = read_truth(root / f"gnd_{name}.pkl")
    tables = []
    for key, split in (("qimlist", "query"), ("imlist", "database")):
        paths = pictures.by_name(root, truth[key], name, remedy)
        tables.append(pictures.table(truth[key], paths, split, pictures.sizes(paths, name)))
    if distractors is not None:
        tables.append(pictures.distractors(distractors, truth["imlist"] + truth["qimlist"], "distractors"))
    images = pd.concat(tables, ignore_index=True)
    boxes, sizes = [query["bbx"] for query in truth["gnd"]], tables[0][["width", "height"]]
    boxes = turned.of_queries(boxes, truth["qimlist"], tables[0]["path"].tolist(), boxes_on, name)
    boxes, _ = reading.fit_boxes(boxes, sizes, f"gnd_{name}.pkl", "{}", truth["qimlist"])
    protocols = ground_truth.protocols(truth["gnd"], len(truth["imlist"]), where=f"gnd_{name}.pkl: ground truth")
    queries, objects = reading.query_tables(truth["qimlist"], landmarks(truth), boxes)
    return RetrievalSet(name, images, objects, queries, protocols)


def read_truth(path: str | PathLike) -> dict:
    """The dict of a ``gnd_*.pkl``: imlist, qimlist, gnd. IntegrityError when it isn't one.

    Names may have folders and endings, lists may be arrays: they are taken off, and read.
    """
    truth = load_plain(path)
    lists = isinstance(truth, dict) and all(isinstance(truth.get(key), list | tuple) for key in ("imlist", "qimlist", "gnd"))
    if not lists or len(truth["qimlist"]) != len(truth["gnd"]) or not truth["gnd"]:
        fact = "has no lists imlist, qimlist and gnd that belong together"
        raise IntegrityError(f"{path} {fact}: get it again, or write names of pictures and a dict for each query.")
    strange = [name for key in ("imlist", "qimlist") for name in truth[key] if not isinstance(name, str) or not name.strip()]
    if strange:
        raise IntegrityError(f"{path} has {short(strange[0])} for a picture's name: get it again, or write text.")
    truth |= {key: [stem(name) for name in truth[key]] for key in ("imlist", "qimlist")}
    boxes = [one.get("bbx") if isinstance(one, dict) else None for one in truth["gnd"]]
    boxes = [numbers(box) if isinstance(box, list | tuple) and len(box) == 4 else np.full(4, np.nan) for box in boxes]
    bad = [query for query, box in zip(truth["qimlist"], boxes) if np.isnan(box).any()]
    if bad:
        fact = f"has no box of four numbers for the query {bad[0]}"
        raise IntegrityError(f"{path} {fact}: get it again, or write bbx, x0, y0, x1 and y1 in pixels.")
    truth["gnd"] = [{**one, "bbx": box.tolist()} for one, box in zip(truth["gnd"], boxes)]
    reading.unique(truth["imlist"] + truth["qimlist"], str(path))
    return truth


def landmarks(truth: dict) -> list[str]:
    """The landmark of each query, by name: the pictures' names tell only the word searched for ("oxford", "general").

    It is the commonest name among the queries whose positives are the query's own (at least half of all of the two).
    """
    names = [re.sub(r"_\d+$", "", name).removeprefix("paris_") for name in truth["qimlist"]]
    rows = [frozenset(one["easy"]) | frozenset(one["hard"]) for one in truth["gnd"]]
    labels = []
    for name, own in zip(names, rows, strict=True):
        same = [n for n, other in zip(names, rows, strict=True) if own and 2 * len(own & other) >= len(own | other)]
        named = [n for n in same if n not in ("oxford", "general")]
        labels.append(Counter(named).most_common(1)[0][0] if named else name)
    return labels
