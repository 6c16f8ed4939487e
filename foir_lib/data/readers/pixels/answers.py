"""Where another system shows queries, from a JSON list in the manner of COCO results: an entry for a query and a database picture.

    [{"query": 0, "image_id": "all_souls_000013", "segmentation": {"size": [768, 1024], "counts": "..."}, "score": 0.9},
     {"query": "all_souls_000006.jpg", "image_id": 17, "bbox": [10, 20, 300, 200], "score": 0.4}, ...]

query: the number of a query, from 0, or its picture's name where no other query is on it; image_id: id or name of a picture;
segmentation: RLE, compressed or not, or polygons, of the picture's own size; bbox: x, y, width, height, by default the mask's
tight one; score: the higher, the surer. An entry with neither, or without any pixel, and a pair without an entry: nothing is there.
"""

from collections import Counter
from os import PathLike

import numpy as np
from pycocotools import mask as rle

from foir_lib.data import masks
from foir_lib.data.names import match
from foir_lib.data.readers import tables
from foir_lib.data.sets import RetrievalSet
from foir_lib.data.values import short
from foir_lib.detections import Localisation
from foir_lib.errors import InputError, finite


def read(path: str | PathLike, retrieval_set: RetrievalSet) -> list[dict[int, Localisation]]:
    """Of each query of the set, database row -> Localisation.

    Raises InputError for a file that can't be read or is no such list, and names the entry that lacks something, is of an unknown query or
    picture or of a pair that was there before, or has a broken mask, box or score.
    """
    entries = tables.read_json(path)
    if not isinstance(entries, list):
        raise InputError(f'{path} holds no list: give [{{"query": ..., "image_id": ..., "segmentation" or "bbox": ..., "score": ...}}, ...].')
    columns = [tables.column(entries, key, str(path), *kinds) for key, *kinds in (("query", int, str), ("image_id", int, str), ("score", int, float))]
    answers = [{} for _ in range(len(retrieval_set.queries))]
    rows, sizes = _rows(columns[1], retrieval_set.database["image_id"]), retrieval_set.database[["width", "height"]].to_numpy()
    queries = _queries(columns[0], retrieval_set)
    for at, (entry, *named, score) in enumerate(zip(entries, *columns)):
        what, query, row = f"{path}[{at}]", queries[named[0]], rows[named[1]]
        if row is None or query is None:
            unknown = f"query {short(named[0])}" if query is None else f"picture {short(named[1])}"
            raise InputError(f"{what} names {unknown}, which {retrieval_set.name} doesn't have, or has twice: give numbers of queries and ids of pictures.")
        if row in answers[query]:
            raise InputError(f"{what} names picture {short(named[1])} a second time for query {short(named[0])}: unite what is there in one mask.")
        if not finite(score):
            raise InputError(f"{what} has the score {short(score)}: give a finite number.")
        answers[query][row] = _localisation(entry, float(score), sizes[row].tolist(), what)
    return answers


def _localisation(entry, score, size, what):
    """The answer of an entry on a picture of ``size`` (width, height)."""
    mask = masks.encode(entry["segmentation"], size, what) if entry.get("segmentation") is not None else None
    mask = mask if mask is not None and rle.area(mask) else None
    if entry.get("bbox") is not None:
        box = _corners(entry["bbox"], size, what)
    else:
        box = None if mask is None else _corners(rle.toBbox(mask).tolist(), size, what)
    return Localisation(mask, box, score)


def _corners(box, size, what):
    """x0, y0, x1, y1 inside the picture of a COCO box."""
    if not isinstance(box, list) or len(box) != 4 or not all(finite(side) and not isinstance(side, bool) for side in box):
        raise InputError(f"{what} has the box {short(box)}: give x, y, width, height.")
    x, y, width, height = map(float, box)
    corners = np.array([x, y, x + width, y + height]).clip(0, [*size, *size]).astype(np.float32)
    if not (corners[2:] > corners[:2]).all():
        raise InputError(f"{what} has the box {short(box)}, of which nothing is on its picture of {size[0]} x {size[1]} pixels: mend or remove it.")
    return corners


def _rows(names, ids):
    """Database row of each name of a picture, None where it means none."""
    known = {str(i): row for row, i in enumerate(ids)}
    means = match([str(name) for name in dict.fromkeys(names)], list(known), ".")
    return {name: known.get(means[str(name)]) for name in names}


def _queries(names, retrieval_set):
    """Row of each query, None for one that isn't there."""
    ids = [str(i) for i in retrieval_set.queries["image_id"]]
    times = Counter(ids)
    alone = {i: row for row, i in enumerate(ids) if times[i] == 1}
    means = match([name for name in dict.fromkeys(names) if isinstance(name, str)], list(alone), ".")
    numbers = {name: name if 0 <= name < len(ids) else None for name in names if isinstance(name, int)}
    return numbers | {name: alone.get(means[name]) for name in names if isinstance(name, str)}
