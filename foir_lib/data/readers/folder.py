"""One's own photographs: every picture under a folder is query and database; boxes are optional.

Boxes come as CSV with the columns ``image,label,x0,y0,x1,y1`` (pixels, exclusive end) or as COCO instances JSON;
a file ``boxes.csv``, else ``boxes.json``, right in the folder is taken unless another is named.
An image is named by its path below the folder, or by any path whose end only one picture has, with whatever slashes.
"""

from functools import partial
from itertools import compress
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data import names
from foir_lib.data.readers import coco, pictures, reading, tables, turned
from foir_lib.data.sets import COLUMNS, CORNERS, RetrievalSet
from foir_lib.data.values import labels, numbers, short
from foir_lib.errors import InputError
from foir_lib.files import as_path
from foir_lib.folders import below
from foir_lib.images import open_image, size
from foir_lib.registry import register


@register("set", "folder")
def load(
    root: str | PathLike, boxes: str | PathLike | None = None,
    crowd_queries: bool = False, crowd_positives: bool = True, check_files: bool = True, boxes_on: str | None = None,
) -> RetrievalSet:  # fmt: skip
    """A folder of photographs as a RetrievalSet; image ids are the paths below ``root``.

    ``boxes``: a CSV or JSON file; None takes ``root/boxes.csv``, else ``root/boxes.json``, if there is one; "" takes
    none. Without boxes there are no labelled objects and no queries: search it with prompts of your own.
    With boxes, pictures without one are searched but are no queries. Pictures that can't be read are left
    out and counted; check_files=False reads only their headers, faster, and leaves fewer of them out.
    boxes_on: "shown" (the picture as its EXIF turns it) or "stored" pixels; None: shown, and noted where nothing tells.
    crowd_queries, crowd_positives: as for COCO. Raises MissingError without a folder or pictures,
    InputError when none can be read, and for boxes of unknown pictures.
    """
    root = reading.need(root, "folder", "give the folder that holds your photographs.")
    images, broken = _pictures(root, check_files)
    if boxes is None:
        boxes = next((root / name for name in ("boxes.csv", "boxes.json") if (root / name).is_file()), "")
    if boxes == "":
        return reading.make_set("folder", images, pd.DataFrame(columns=COLUMNS["objects"]))
    path = as_path(boxes)
    remedy = "give a CSV (image,label,x0,y0,x1,y1) or COCO JSON."
    path = reading.need(path if path.exists() else root / path, "file of boxes", remedy)

    def found(files, needed=None):  # ids of the pictures that the file means; None for what can't be read or isn't needed
        ids = names.resolve(list(files), [*images["image_id"], *broken], root, path, needed)
        return pd.Series([None if i in broken else i for i in ids], dtype=object)

    objects = (_coco if path.suffix.lower() == ".json" else _csv)(path, images, found, boxes_on)
    if not len(objects):
        raise InputError(f"{path} has no box on a picture that can be read: give boxes of the pictures in {root}.")
    return reading.make_set("folder", images, objects, crowd_queries, crowd_positives)


def _pictures(root, decode):
    """images table of all readable pictures below ``root``, and the ids of the others."""
    paths = below(root)
    ids = [Path(path).relative_to(root).as_posix() for path in paths]
    read, kind = (lambda path: open_image(path).size, "decoded") if decode else (size, "sizes")
    sizes = pictures.measure(paths, root.name, read, kind)
    readable = (sizes > 0).all(1)
    broken = list(compress(ids, ~readable))
    if len(broken) == len(ids):
        some = ", ".join(broken[:20]) + (", ..." if len(broken) > 20 else "")
        raise InputError(f"None of the {len(ids)} pictures below {root} can be read: {some}; replace them.")
    pictures.noted(paths, sizes)
    return pictures.table(ids, paths, "both", sizes)[readable], broken


def _csv(path, images, found, boxes_on):
    table = tables.read_csv(path, ("image", "label", *CORNERS))
    table["line"] = np.arange(len(table)) + 1
    where, lines = f"{path}:", (table["line"], table["image"].map(partial(short, quoted=False)))
    table["label"] = labels(table["label"])
    reading.refuse(table["label"] == "", where, "row {} ({}) has no label: name what is in the box", *lines)
    corners = pd.DataFrame({corner: numbers(table[corner]) for corner in CORNERS})
    sentence = "row {} ({}) has the box ({}, {}, {}, {}): give four numbers, in pixels"
    shown = [table[corner].map(partial(short, quoted=False)) for corner in CORNERS]
    reading.refuse(~np.isfinite(corners).all(axis=1), where, sentence, *lines, *shown)
    image_ids = found(table["image"])
    table = table.assign(image_id=image_ids, ignore=False, segmentation=None, **corners)[image_ids.notna()]
    _, table = turned.settled(images.assign(width=np.nan, height=np.nan), table, boxes_on, path.name)
    table = reading.fit_objects(table, images, str(path), "row {} ({})", table["line"], table["image"])
    return table[COLUMNS["objects"]]


def _coco(path, images, found, boxes_on):
    size_of, path_of = images.set_index("image_id")[["width", "height"]], images.set_index("image_id")["path"]

    def measured(files, has_objects):
        return [size_of.loc[i] if i is not None else (1, 1) for i in found(files, has_objects)]

    def settled(listed, objects):
        here = found(listed["file_name"], listed["image_id"].isin(objects["image_id"]))
        return turned.settled(listed.assign(path=here.map(path_of)), objects, boxes_on, path.name)

    listed, objects = coco.read(path, measured, settled)
    listed["here"] = found(listed["file_name"], listed["image_id"].isin(objects["image_id"]))
    here = listed.dropna(subset="here")
    reading.unique(here["here"], f"{path}: images")
    sizes = size_of.loc[here["here"]].to_numpy()
    sentence = "{} is {} x {} pixels, the file is {} x {}: scale the boxes or restore the picture"
    facts = here[["here", "width", "height"]].to_numpy().T
    reading.refuse((here[["width", "height"]] != sizes).any(axis=1), f"{path} says", sentence, *facts, *sizes.T)
    renamed = objects["image_id"].map(listed.set_index("image_id")["here"])
    return objects.assign(image_id=renamed)[renamed.notna()]
