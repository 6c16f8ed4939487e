"""The labels that a folder holds, in whichever layout people have them: found, told in one line, read."""

import pandas as pd

from foir_lib.data.readers.layouts import classes, coco, labelme, tables, voc, yolo, yolo_names
from foir_lib.data.readers.layouts.listing import Listing
from foir_lib.errors import InputError, unknown
from foir_lib.notices import note

KINDS = {  # in the order in which they are taken where there are several
    "csv": (tables, "a CSV table"),
    "coco": (coco, "COCO JSON"),
    "yolo": (yolo, "YOLO text files"),
    "voc": (voc, "VOC XML files"),
    "labelme": (labelme, "LabelMe JSON files"),
    "classes": (classes, "a folder per class"),
}
OWN = (["boxes.csv"], ["boxes.json"])  # files whose names say what they are for


def labelled(listing: Listing, kind: str | None = None) -> tuple[str, pd.DataFrame] | None:
    """The kind of labels and the objects that they label; None without labels.

    kind: one of KINDS, None for the first that is there; then what was found is noted, and how to take another.
    Raises InputError for another kind, for one that isn't there, and for labels of no picture.
    """
    if kind not in (None, *KINDS):
        raise unknown("kind of labels", kind, KINDS)
    there = {name: files for name, (layout, _) in KINDS.items() if (files := layout.files(listing))}
    taken = kind or next(iter(there), None)
    if taken is None:
        return None
    layout, what = KINDS[taken]
    if taken not in there and taken != "classes":
        has = f"it has {' and '.join(KINDS[name][1] for name in there)}" if there else "it has no labels"
        raise InputError(f"{listing.root} has no {what.removeprefix('a ')} of its pictures, {has}: choose another kind of labels.")
    files = there.get(taken, [])
    objects = layout.read(listing, files)
    if not len(objects):
        first = listing.root / files[0]
        raise InputError(f"{first} has no box on a picture that can be read: give boxes of the pictures in {listing.root}, or boxes=\"\".")
    others = [name for name in there if name != taken and not (files in OWN and name == "classes")]
    if kind is None and (others or files not in OWN):
        also = "".join(f'; also {KINDS[name][1]} (labels="{name}")' for name in others)
        _tell(taken, what + also, files, objects)
    return taken, objects


def _tell(taken, what, files, objects):
    n_labels, n_pictures = objects["label"].nunique(), objects["image_id"].nunique()
    if taken == "classes":
        note(f"pictures in {n_labels} classes, {what}", n=n_pictures)
    else:
        note(f"boxes of {n_labels} labels on {n_pictures} pictures, from {what}", files[0], len(objects))


def splits(listing: Listing, taken: str | None) -> pd.Series:
    """Split of each picture, "train", "val", "test" or "", by its folder, or as YOLO's YAML says."""
    told = yolo_names.splits(listing) if taken == "yolo" else {}
    return listing.images["image_id"].map(lambda image_id: told.get(image_id) or classes.split(image_id))
