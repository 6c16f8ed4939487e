"""One's own photographs: every picture under a folder is query and database; boxes are optional.

Boxes come as CSV with the columns ``image,label,x0,y0,x1,y1`` (pixels, exclusive end) or as COCO instances JSON;
a file ``boxes.csv``, else ``boxes.json``, right in the folder is taken unless another is named.
An image is named by its path below the folder, or by its file name when only one picture has it.
"""

import warnings
from itertools import compress
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data.readers import coco, pictures, reading
from foir_lib.data.sets import COLUMNS, CORNERS, RetrievalSet
from foir_lib.errors import InputError
from foir_lib.files import as_path
from foir_lib.images import below, open_image, size
from foir_lib.registry import register


@register("set", "folder")
def load(
    root: str | PathLike, boxes: str | PathLike | None = None,
    crowd_queries: bool = False, crowd_positives: bool = True, check_files: bool = True,
) -> RetrievalSet:  # fmt: skip
    """A folder of photographs as a RetrievalSet; image ids are the paths below ``root``.

    ``boxes``: a CSV or JSON file; None takes ``root/boxes.csv``, else ``root/boxes.json``, if there is one; "" takes
    none. Without boxes there are no labelled objects and no queries: search it with prompts of your own.
    With boxes, pictures without one are searched but are no queries. Pictures that can't be read are left
    out with a warning; check_files=False reads only their headers, faster, and leaves fewer of them out.
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
    objects = (_coco if path.suffix.lower() == ".json" else _csv)(path, images, broken)
    if not len(objects):
        raise InputError(f"{path} has no box on a picture that can be read: give boxes of the pictures in {root}.")
    return reading.make_set("folder", images, objects, crowd_queries, crowd_positives)


def _pictures(root, decode):
    """images table of all readable pictures below ``root``, and the ids of the others."""
    paths = below(root)
    ids = [Path(path).relative_to(root).as_posix() for path in paths]
    sizes = pictures.measure(paths, root.name, (lambda path: open_image(path).size) if decode else size)
    readable = (sizes > 0).all(1)
    broken = list(compress(ids, ~readable))
    if broken:
        some = ", ".join(broken[:20]) + (", ..." if len(broken) > 20 else "")
        if len(broken) == len(ids):
            raise InputError(f"None of the {len(ids)} pictures below {root} can be read: {some}; replace them.")
        fact = f"{len(broken)} of {len(ids)} pictures below {root} can't be read and were left out"
        warnings.warn(f"{fact}: {some}.", stacklevel=4)
    return pictures.table(ids, paths, "both", sizes)[readable], broken


def _match(names, images, broken, path):
    """Image ids of ``names`` as they stand in a file of boxes; None for pictures that can't be read."""
    known = {image_id: image_id for image_id in images["image_id"]} | dict.fromkeys(broken)
    short = {}  # file name -> ids of pictures of that name
    for image_id in known:
        short.setdefault(image_id.rsplit("/", 1)[-1], []).append(image_id)
    plain = [name.strip().replace("\\", "/").removeprefix("./") for name in names]
    same = [[name] if name in known else short.get(name, []) for name in plain]
    sentence = "names the picture {!r}, which may be {}: give its path below the folder"
    reading.refuse([len(ids) > 1 for ids in same], path, sentence, names, [" or ".join(ids[:2]) for ids in same])
    sentence = "names the picture {!r}, which is not in the folder ({n} such): add it or remove its boxes"
    reading.refuse([not ids for ids in same], path, sentence, names)
    return [known[ids[0]] for ids in same]


def _csv(path, images, broken):
    table = reading.read_csv(path, ("image", "label", *CORNERS))
    table["line"] = np.arange(len(table)) + 1
    where, lines = f"{path}:", (table["line"], table["image"])
    table["label"] = table["label"].str.strip()
    reading.refuse(table["label"] == "", where, "row {} ({}) has no label: name what is in the box", *lines)
    values = table[CORNERS].apply(pd.to_numeric, errors="coerce").astype(float)
    sentence = "row {} ({}) has the box ({}, {}, {}, {}): give four numbers, in pixels"
    reading.refuse(~np.isfinite(values).all(axis=1), where, sentence, *lines, *(table[corner] for corner in CORNERS))
    image_ids = pd.Series(_match(table["image"].tolist(), images, broken, path), dtype=object)
    table = table.assign(image_id=image_ids, ignore=False, segmentation=None, **values)[image_ids.notna()]
    table = reading.fit_objects(table, images, str(path), "row {} ({})", table["line"], table["image"])
    return table[COLUMNS["objects"]]


def _coco(path, images, broken):
    listed, objects = coco.read(path)
    listed["here"] = pd.Series(_match(listed["file_name"].tolist(), images, broken, path), dtype=object)
    here = listed.dropna(subset="here")
    reading.unique(here["here"], f"{path}: images")
    sizes = images.set_index("image_id")[["width", "height"]].loc[here["here"]].to_numpy()
    sentence = "{} is {} x {} pixels, the file is {} x {}: scale the boxes or restore the picture"
    facts = here[["here", "width", "height"]].to_numpy().T
    reading.refuse((here[["width", "height"]] != sizes).any(axis=1), f"{path} says", sentence, *facts, *sizes.T)
    renamed = objects["image_id"].map(listed.set_index("image_id")["here"])
    return objects.assign(image_id=renamed)[renamed.notna()]
