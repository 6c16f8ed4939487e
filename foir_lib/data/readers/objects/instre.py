"""INSTRE (Wang and Jiang, TOMM 2015), and its pictures with small objects, INSTRE-XS and -XXS of the MaO paper.

    root/INSTRE-S1/<nn>{a,b}_<name>/NNN.jpg  NNN.txt   100 objects
    root/INSTRE-S2/<...>/NNN.jpg  NNN.txt              100 others
    root/INSTRE-M/<nn>/NNN.jpg  NNN.txt                the two objects nn a and nn b of S1 together

A text file has a line ``x y w h`` in pixels for each object. In INSTRE-M the first line is taken to be a's, the second b's; its
pictures are no queries, and who is on them doesn't depend on it. No list of queries comes with the pictures: **these are rules of our own**. ``instre``: five
evenly spaced pictures of each object of S1 and S2 are queries. XS and XXS: of the pictures whose boxes are all below 15 % and
5 % of their area every other one of each object, from the first, is a query; an object with one such picture has none. The
authors' lists (2,428 queries and 2,065 pictures; 106 and 120) aren't published.
"""

from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data.readers import pictures, reading, tables
from foir_lib.data.sets import COLUMNS, RetrievalSet
from foir_lib.errors import InputError
from foir_lib.folders import below
from foir_lib.notices import note
from foir_lib.registry import register

LIMITS = {"instre": np.inf, "instre-xs": 0.15, "instre-xxs": 0.05}  # share of the picture
PER_OBJECT = 5
REMEDY = "expected INSTRE-S1, INSTRE-S2 or INSTRE-M with folders of NNN.jpg and NNN.txt; see `foir data list`."


@register("set", "instre-xxs")
@register("set", "instre-xs")
@register("set", "instre")
def load(root: str | PathLike, name: str = "instre", subsets: str = "") -> RetrievalSet:
    """instre, instre-xs or instre-xxs as a RetrievalSet with the protocol instances.

    subsets: folders, separated by commas; by default all for instre, and INSTRE-S1 for the others (whose paper gives the sizes
    of S1's objects). Pictures without a text file are left out and noted. Raises MissingError and InputError.
    """
    root = reading.need(root, "INSTRE folder", REMEDY)
    subsets = [one.strip() for one in (subsets or ("INSTRE-S1,INSTRE-S2,INSTRE-M" if name == "instre" else "INSTRE-S1")).split(",")]
    paths = [path for one in subsets for path in below(reading.need(root / one, "folder", REMEDY))]
    lone = [path for path in paths if not Path(path).with_suffix(".txt").is_file()]
    note("pictures without a text file of boxes left out", *lone[:1], n=len(lone))
    paths = sorted(set(paths) - set(lone))
    if not paths:
        raise InputError(f"No picture below {root} has a text file of boxes: {REMEDY}")
    sizes = pictures.sizes(paths, name)
    ids = [Path(path).relative_to(root).as_posix() for path in paths]
    images = pictures.table(ids, paths, "database", sizes)
    objects = _objects(ids, paths)
    objects = reading.fit_objects(objects, images, name, "{} of {}", objects["label"], objects["image_id"])
    images = _parted(images, objects, name)
    return reading.instance_set(name, images, objects[objects["image_id"].isin(images["image_id"])])


def _parted(images, objects, name):
    """The images whose boxes are all below the limit of ``name``, a share of their picture; those that are queries as split "query"."""
    limit, areas = LIMITS[name], (objects["x1"] - objects["x0"]) * (objects["y1"] - objects["y0"])
    largest = images["image_id"].map(areas.groupby(objects["image_id"]).max())
    images = images[(largest < limit * images["width"] * images["height"]).to_numpy()]
    if images.empty:
        raise InputError(f"No picture has boxes that are all small enough for {name}: get the text files again.")
    is_query, folders = np.zeros(len(images), dtype=bool), images["image_id"].str.rsplit("/", n=1).str[0]
    for folder, rows in pd.Series(range(len(images))).groupby(folders.to_numpy()):
        chosen = rows[::2] if limit < 1 else rows.iloc[np.linspace(0, len(rows) - 1, PER_OBJECT).round().astype(int)]
        is_query[chosen] = len(rows) > chosen.nunique() and not folder.startswith("INSTRE-M")
    return images.assign(split=np.where(is_query, "query", "database"))


def _objects(ids, paths):
    """The objects table of the lines of the pictures' text files; an object is called as its folder, of S1 in INSTRE-M too."""
    folders = {image_id.rsplit("/", 1)[0] for image_id in ids}
    of_s1 = {folder.split("/")[1][:3]: folder for folder in sorted(folders) if folder.startswith("INSTRE-S1/")}
    rows = []
    for image_id, path in zip(ids, paths, strict=True):
        file, folder = Path(path).with_suffix(".txt"), image_id.rsplit("/", 1)[0]
        for place, box in enumerate(tables.boxes(file)):
            key = f"{folder.removeprefix('INSTRE-M/')}{'ab'[min(place, 1)]}" if folder.startswith("INSTRE-M/") else ""
            rows.append((image_id, of_s1.get(key, folder + key[-1:]), *box, False, None))
    return pd.DataFrame(rows, columns=COLUMNS["objects"])
