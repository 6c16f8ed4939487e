"""One's own photographs: every picture under a folder is query and database; labels are found as people have them.

    root/<class>/**/*.jpg, also below train/, val/ or test/   a folder per class: each picture asks as a whole (layouts/classes.py)
    root/images/**  root/labels/**  root/data.yaml            YOLO (layouts/yolo.py)
    a.jpg a.xml, or JPEGImages/ Annotations/                  PASCAL VOC (layouts/voc.py)
    a.jpg a.json                                              LabelMe (layouts/labelme.py)
    *.json, *.csv, also in train/, valid/, test/              COCO, tables of boxes (layouts/coco.py, layouts/tables.py)

A file ``boxes.csv``, else ``boxes.json``, right in the folder is taken before all of these. In a list of labels
an image is named by its path below the folder, or by any path whose end only one picture has, with whatever slashes.
"""

from itertools import compress
from os import PathLike
from pathlib import Path

import pandas as pd

from foir_lib.data.readers import pictures, reading
from foir_lib.data.readers.layouts import classes, coco, finding, tables
from foir_lib.data.readers.layouts.listing import Listing
from foir_lib.data.sets import COLUMNS, RetrievalSet
from foir_lib.errors import InputError, unknown
from foir_lib.files import as_path
from foir_lib.folders import pictures_and_labels
from foir_lib.notices import note
from foir_lib.registry import register


@register("set", "folder")
def load(
    root: str | PathLike, boxes: str | PathLike | None = None,
    crowd_queries: bool = False, crowd_positives: bool = True, check_files: bool = True, boxes_on: str | None = None,
    labels: str | None = None, query: str | None = None,
) -> RetrievalSet:  # fmt: skip
    """A folder of photographs as a RetrievalSet; image ids are the paths below ``root``.

    ``boxes``: a CSV (boxes, or ``image,label`` of whole pictures) or JSON file; None looks for labels in every layout and notes what was found; "" takes none.
    ``labels``: the kind to take where there are several: csv, coco, yolo, voc, labelme or classes. Without labels
    there are no labelled objects and no queries: search it with prompts of your own.
    ``query``: pictures of this split (train, val or test) ask and all others are searched; "all": every picture asks and is
    searched, as it is without one; but of folders of classes below train/ and others, those of train/ are searched.
    With boxes, pictures without one are searched but are no queries. Pictures that can't be read are left
    out and counted; check_files=False reads only their headers, faster, and leaves fewer of them out.
    boxes_on: "shown" (the picture as its EXIF turns it) or "stored" pixels; None: shown, and noted where nothing tells.
    crowd_queries, crowd_positives: as for COCO. Raises MissingError without a folder or pictures,
    InputError when none can be read, for damaged labels, and for labels of unknown pictures.
    """
    root = reading.need(root, "folder", "give the folder that holds your photographs.")
    listing = _listing(root, check_files, boxes_on)
    if boxes is not None and labels is not None:
        raise InputError(f"boxes={str(boxes)!r} and labels={labels!r} are both given: give the file, or the kind of labels.")
    taken, objects = None, pd.DataFrame(columns=COLUMNS["objects"])
    if boxes is None:
        taken, objects = finding.labelled(listing, labels) or (taken, objects)
    elif boxes != "":
        objects = _named(listing, as_path(boxes))
    images = listing.images.assign(split=_split(listing, taken, query))
    return reading.make_set("folder", images, objects, crowd_queries, crowd_positives)


def _listing(root, decode, boxes_on):
    """What ``root`` holds. Raises InputError when no picture can be read."""
    paths, files = pictures_and_labels(root)
    ids, files = ([Path(path).relative_to(root).as_posix() for path in some] for some in (paths, files))
    sizes = (pictures.decoded if decode else pictures.sizes)(paths, root.name, lenient=True)
    readable = (sizes > 0).all(1)
    broken = list(compress(ids, ~readable))
    if len(broken) == len(ids):
        some = ", ".join(broken[:20]) + (", ..." if len(broken) > 20 else "")
        raise InputError(f"None of the {len(ids)} pictures below {root} can be read: {some}; replace them.")
    pictures.noted(paths, sizes)
    return Listing(root, pictures.table(ids, paths, "both", sizes)[readable], tuple(broken), tuple(files), boxes_on)


def _named(listing, path):
    """The objects of one file, a path from here or from the folder."""
    path = reading.need(path if path.exists() else listing.root / path, "file of boxes", "give a CSV (image,label,x0,y0,x1,y1) or COCO JSON.")
    inside = path.is_relative_to(listing.root)
    layout = coco if path.suffix.lower() == ".json" else tables
    objects = layout.read(listing, [path.relative_to(listing.root).as_posix() if inside else str(path.absolute())])
    if not len(objects):
        raise InputError(f"{path} has no box on a picture that can be read: give boxes of the pictures in {listing.root}.")
    return objects


def _split(listing, taken, query):
    """Split of each image: both, or query and database."""
    if query == "all" or (query is None and taken != "classes"):
        return "both"
    splits = finding.splits(listing, taken)
    known = sorted(set(splits) - {""})
    if query is None:
        if "train" not in known or known == ["train"]:
            return "both"
        asks = splits != "train"
        note('pictures ask, those in train are searched; query="all" lets every picture ask and be searched', known[0], int(asks.sum()))
    else:
        asks = splits == (classes.split(f"{query}/") or query)
        if not asks.any() or asks.all():
            raise unknown("split of some pictures", query, [*known, "all"])
    return asks.map({True: "query", False: "database"})
