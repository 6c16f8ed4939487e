"""Boxes as CSV: ``image,label,x0,y0,x1,y1`` in pixels, or as others call these columns; Roboflow's ``_annotations.csv`` in each split.

A file that somebody names may have ``image,label`` alone: labels of whole pictures.
"""

from functools import partial
from itertools import chain, compress

import numpy as np
import pandas as pd

from foir_lib.data.readers import reading, tables, turned
from foir_lib.data.readers.layouts.listing import Listing, together
from foir_lib.data.sets import COLUMNS, CORNERS
from foir_lib.data.values import labels, numbers, short

IMAGE = ("image", "filename", "file_name", "file", "path", "image_path", "image_name")
LABEL = ("label", "class", "class_name", "name", "category")
ENDS = (CORNERS, ["xmin", "ymin", "xmax", "ymax"], ["x1", "y1", "x2", "y2"])
SIDES = (["x", "y", "w", "h"], ["x", "y", "width", "height"])


def files(listing: Listing) -> list[str]:
    """Those files whose first lines name all columns: ``boxes.csv`` alone where there is one."""
    if "boxes.csv" in listing.files:
        return ["boxes.csv"]
    return [file for file in listing.ending(".csv") if _names(_first_line(listing.root / file)) is not None]


def read(listing: Listing, files: list[str]) -> pd.DataFrame:
    """Objects of some files. Raises InputError for what is damaged and for unknown pictures."""
    return together((file, _one(listing, file)) for file in files)


def _one(listing, file):
    path = listing.root / file
    table = tables.read_csv(path, ())
    whole = {*table.columns}.isdisjoint(chain(*ENDS, *SIDES))  # pictures, not boxes on them
    image, label, columns = _names(table.columns) or (*(_first(table, some) for some in (IMAGE, LABEL)), [] if whole else CORNERS)
    tables.need_columns(table, (image, label, *columns), path)
    where, lines = f"{path}:", (np.arange(len(table)) + 1, table[image].map(partial(short, quoted=False)))
    named = labels(table[label])
    reading.refuse([name == "" for name in named], where, "row {} ({}) has no label: name what is in the box", *lines)
    image_ids = listing.found(table[image], path, top=listing.top(file))
    if whole:
        pictures = listing.images.set_index("image_id").loc[image_ids.dropna()].reset_index()
        return reading.whole_pictures(pictures, list(compress(named, image_ids.notna())))
    corners = np.array([numbers(table[column]) for column in columns]).T.reshape(-1, 4)
    sentence = "row {} ({}) has the box ({}, {}, {}, {}): give four numbers, in pixels"
    shown = [table[column].map(partial(short, quoted=False)) for column in columns]
    reading.refuse(~np.isfinite(corners).all(axis=1), where, sentence, *lines, *shown)
    if columns in SIDES:
        corners[:, 2:] += corners[:, :2]
    if columns not in SIDES and {"width", "height"} <= {*table.columns}:  # of the pictures
        said = pd.DataFrame({side: numbers(table[side]) for side in ("width", "height")})[image_ids.notna()]
        listing.need_sizes(image_ids.dropna(), said, [path] * len(said))
    objects = pd.DataFrame(corners, columns=CORNERS).assign(image_id=image_ids, label=named, ignore=False, segmentation=None)
    objects = objects.assign(row=lines[0], name=lines[1])[image_ids.notna()]
    images = listing.images.assign(width=np.nan, height=np.nan)
    objects = turned.settled(images, objects, listing.boxes_on, path.name)[1]
    objects = reading.fit_objects(objects, listing.images, str(path), "row {} ({})", objects["row"], objects["name"])
    return objects[COLUMNS["objects"]]


def _first_line(path):
    """The columns that a CSV file names."""
    if not path.is_file():
        return []
    with open(path, "rb") as file:
        return [name.strip() for name in file.readline(10_000).decode("utf-8-sig", "replace").split(",")]


def _first(columns, known):
    return next((name for name in known if name in columns), known[0])


def _names(columns):
    """What the columns of image, label and box are called; None without one of them."""
    box = next((names for names in (*ENDS, *SIDES) if {*names} <= {*columns}), None)
    image, label = _first(columns, IMAGE), _first(columns, LABEL)
    return (image, label, box) if box and {image, label} <= {*columns} else None
