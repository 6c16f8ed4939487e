"""ILIAS (Kordopatis-Zilos et al., CVPR 2025): a thing on a plain ground asks for photographs of it among millions of others.

    root/ilias_core/<thing>/query/Q*.jpg  Q*_bbox.txt    1,232 queries of 1,000 things
    root/ilias_core/<thing>/pos/P*.jpg  P*_bbox.txt      4,715 photographs of them, the database
    root/image_ids/{image_query_ids,positive_ids}.txt    lists of both, where they were fetched too
    root/yfcc100m/**/*.jpg  root/image_ids/mini_ilias_yfcc100m_ids.txt    distractors, and which of them are mini-ILIAS'

A box file has a line ``x y w h`` in pixels for each place where the thing is seen. A query's prompt is the box around all of its
own, what the authors' code crops to. Lists name a picture first, ``<thing>/query/Q000_00.jpg``, facts may follow after commas; of
mini-ILIAS' list each line is a distractor's name, after a shard's and a slash perhaps. They may lie in root as well. T*.txt, the queries in words, are not read.
"""

import re
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data.names import ENDING
from foir_lib.data.readers import pictures, reading, tables
from foir_lib.data.sets import COLUMNS, CORNERS, RetrievalSet
from foir_lib.data.values import short
from foir_lib.errors import InputError, MissingError
from foir_lib.folders import below
from foir_lib.registry import register

REMEDY = "expected ilias_core/<thing>/{query,pos}/*.jpg with *_bbox.txt; see `foir data list`."
SPLITS = {"query": "query", "pos": "database"}  # folder -> split
LISTS = {"query": "image_query_ids.txt", "pos": "positive_ids.txt"}
MINI = "mini_ilias_yfcc100m_ids.txt"


@register("set", "ilias-mini")
@register("set", "ilias")
def load(root: str | PathLike, name: str = "ilias", distractors: str | PathLike | None = None) -> RetrievalSet:
    """ilias, its core, or ilias-mini, with the five million distractors of its list, as a RetrievalSet with the protocol instances@1000.

    distractors: folder of further database pictures; all below it for ilias, for ilias-mini those of the list in root/image_ids,
    by default in root/yfcc100m. Raises MissingError for files and boxes that are lacking, InputError for lists and boxes that don't fit.
    """
    root = reading.need(root, "ILIAS folder", REMEDY)
    core = reading.need(root / "ilias_core", "folder ilias_core of ILIAS", REMEDY)
    files = {ENDING.sub("", Path(path).relative_to(core).as_posix()): path for path in below(core)}
    ids = [image_id for folder in SPLITS for image_id in _listed(root, folder, files)]
    paths = [files[image_id] for image_id in ids]
    images = pictures.table(ids, paths, "", pictures.sizes(paths, name)).assign(split=[SPLITS[_folder(one)] for one in ids])
    boxes = [tables.boxes(_beside(path)) for path in paths]
    rows = np.repeat(np.arange(len(ids)), [len(some) for some in boxes])
    objects = pd.DataFrame({"image_id": np.array(ids, object)[rows], "ignore": False, "segmentation": None})
    objects = objects.assign(label=objects["image_id"].str.split("/").str[0], **dict(zip(CORNERS, np.concatenate(boxes).T, strict=True)))
    objects = reading.fit_objects(objects[COLUMNS["objects"]], images, name, "{} of {}", objects["label"], objects["image_id"])
    asks = objects["image_id"].map(_folder) == "query"
    around = objects[asks].groupby(["image_id", "label"], sort=False).agg({"x0": "min", "y0": "min", "x1": "max", "y1": "max"})
    around = around.reset_index().assign(ignore=False, segmentation=None)[COLUMNS["objects"]]
    silent = sorted(set(images["image_id"][images["split"] == "query"]) - set(around["image_id"]))
    reading.refuse([True] * len(silent), name, "has the query {} without a box that has area: get ilias_core again", silent)
    objects = pd.concat([around, objects[~asks]], ignore_index=True)
    mini = name == "ilias-mini"
    if distractors is not None or mini:
        folder = reading.need(distractors or root / "yfcc100m", "folder of ILIAS' distractors", "give distractors=, or unpack yfcc100m there.")
        images = pd.concat([images, pictures.distractors(folder, ids, "yfcc100m", _names(root) if mini else None)], ignore_index=True)
    return reading.instance_set(name, images, objects, first=1000)


def _folder(image_id):
    return image_id.split("/")[1]


def _listed(root, folder, files):
    """Ids of the pictures of a folder, query or pos: of its list where there is one, else all there are."""
    path = _list(root, LISTS[folder])
    if not path.is_file():
        ids = sorted(one for one in files if re.fullmatch(rf"[^/]+/{folder}/[^/]+", one))
        if not ids:
            raise InputError(f"{root / 'ilias_core'} has no picture in a folder {folder}: {REMEDY}")
        return ids
    lines = [line for line in tables.read_text(path).split("\n") if line.strip()]
    ids = [ENDING.sub("", line.split(",")[0].strip()) for line in lines]
    strange = [not re.fullmatch(rf"[^/]+/{folder}/[^/]+", one) for one in ids]
    reading.refuse(strange, path, f"has the line {{}}, which doesn't begin with <thing>/{folder}/<picture>: get it again", list(map(short, lines)))
    reading.unique(ids, str(path))
    lacking = [one not in files for one in ids]
    if any(lacking):
        fact = f"{sum(lacking)} of {len(ids)} pictures of {path.name} are missing below {root / 'ilias_core'}, first {short(ids[lacking.index(True)])}"
        raise MissingError(f"{fact}: get ilias_core again.")
    return ids


def _list(root, name):
    """Where a list is: in root/image_ids, or in root."""
    return root / name if (root / name).is_file() else root / "image_ids" / name


def _beside(path):
    """The file of boxes of a picture. MissingError without it."""
    box = Path(path).with_name(f"{Path(path).stem}_bbox.txt")
    return reading.need(box, f"box of {Path(path).name}", "each query and positive of ILIAS has one, get ilias_core again.")


def _names(root):
    """Names, without ending, of mini-ILIAS' distractors."""
    path = reading.need(_list(root, MINI), "list of mini-ILIAS", f"fetch {MINI} into image_ids; see `foir data list`.")
    names = {ENDING.sub("", line.strip().rsplit("/", 1)[-1]) for line in tables.read_text(path).split("\n")} - {""}
    reading.refuse([re.search(r"[\s,;]", one) is not None for one in sorted(names)], path, "has the line {}, no name of a picture: get it again", sorted(names))
    return names
