"""Oxford5k and Paris6k with their classic protocol (Philbin et al., CVPR 2007 and 2008) in the official layout.

    root/<landmark>_<1-5>_{query,good,ok,junk}.txt  (or in a folder of their own)
    root/*.jpg (Oxford, 5,063 pictures)  root/paris/<landmark>/*.jpg (Paris, 6,412)
    distractors/**/*.jpg  Flickr100k, 100,071 pictures in oxc1_100k/<tag>/

A query file holds the picture's name (in Oxford after ``oxc1_``) and its box x0 y0 x1 y1 in pixels, the others a name
a line: good and ok are positive, junk is ignored. Twenty pictures of Paris are known to be damaged; they are left out.
"""

from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data import ground_truth
from foir_lib.data.names import stem
from foir_lib.data.protocol import Protocol
from foir_lib.data.readers import pictures, reading, tables, turned
from foir_lib.data.sets import RetrievalSet
from foir_lib.data.values import numbers, short
from foir_lib.errors import InputError
from foir_lib.folders import files as files_below
from foir_lib.registry import register

DAMAGED = frozenset(Path(__file__).with_name("paris6k_damaged.txt").read_text(encoding="utf-8").split())


@register("set", "paris6k")
@register("set", "oxford5k")
def load(
    root: str | PathLike, name: str = "oxford5k", distractors: str | PathLike | None = None, own_counts: bool = True,
    boxes_on: str | None = None,
) -> RetrievalSet:
    """oxford5k or paris6k as a RetrievalSet with the protocol classic: 55 queries, five for each of 11 landmarks.

    distractors: a folder of further database pictures (the 100k of Oxford105k and Paris106k). own_counts: the query's
    own picture is in the database and counts as an answer, as in the published evaluation program; False takes it out.
    boxes_on: as for a folder.
    Raises MissingError for files that are lacking, InputError for broken lists and boxes off their picture.
    """
    remedy = f"expected the pictures and <landmark>_<n>_query.txt, _good, _ok and _junk; `foir data get {name} --root FOLDER` fetches them."
    root = reading.need(root, f"{name} folder", remedy)
    by_name = pictures.named(root)
    names = sorted(set(by_name) - DAMAGED)
    paths = [by_name[n] for n in names]
    images = [pictures.table(names, paths, "database", pictures.sizes(paths, name))]
    if distractors is not None:
        images.append(pictures.distractors(distractors, names, "distractors"))
    images = pd.concat(images, ignore_index=True)
    labels, query_ids, boxes, truth = read_lists(root, names, remedy)
    at = pd.Index(names).get_indexer(query_ids)
    images.loc[np.unique(at), "split"] = "both"
    boxes = turned.of_queries(boxes, query_ids, images["path"].iloc[at].tolist(), boxes_on, name)
    boxes, _ = reading.fit_boxes(boxes, images[["width", "height"]].to_numpy()[at], name, "{}", query_ids)
    queries, objects = reading.query_tables(query_ids, labels, boxes)
    protocols = ground_truth.protocols(truth, len(images), ground_truth.CLASSIC)
    if not own_counts:
        protocols = {key: Protocol(p.groups, p.positive, p.ignored, at) for key, p in protocols.items()}
    return RetrievalSet(name, images, objects, queries, protocols)


def read_lists(root: Path, names: list[str], remedy: str) -> tuple[list[str], list[str], np.ndarray, list[dict]]:
    """Labels, query pictures, boxes (n, 4) and for each query a dict of lists good, ok, junk of rows of ``names``."""
    files = files_below(reading.need(root, "folder", remedy), "_query.txt")
    reading.need(files[0] if files else root / "all_souls_1_query.txt", "query file", remedy)
    rows, parsed = {name: row for row, name in enumerate(names)}, []
    for file in files:
        words = tables.read_text(file).split()
        box = numbers(words[1:])
        if len(box) != 4 or np.isnan(box).any():
            raise InputError(f"{file} must hold a picture's name and four numbers: get it again.")
        query = stem(words[0]).removeprefix("oxc1_")
        if query not in rows:
            fact = f"names the picture {short(query, quoted=False)}, which is not among the pictures"
            raise InputError(f"{file} {fact}: get it again.")
        title = file.name.removesuffix("_query.txt")
        lists = {}
        for key in ("good", "ok", "junk"):
            path = reading.need(file.with_name(f"{title}_{key}.txt"), "list of pictures", remedy)
            words = tables.read_text(path, empty=True).split()
            listed = [name if name in rows else stem(name).removeprefix("oxc1_") for name in words]
            shown = [short(name, quoted=False) for name in listed]
            unknown = [n not in rows and n not in DAMAGED for n in listed]
            reading.refuse(unknown, path, "lists {}, which is not among the pictures ({n} such): get them", shown)
            lists[key] = [rows[n] for n in listed if n in rows]
        parsed.append((title.rsplit("_", 1)[0], query, box, lists))
    labels, query_ids, boxes, truth = map(list, zip(*parsed))
    return labels, query_ids, np.array(boxes), truth
