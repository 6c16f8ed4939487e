"""LabelMe's JSON beside each picture: rectangles, polygons and circles; the copy of the picture in it is never looked at."""

import numpy as np
import pandas as pd

from foir_lib.data.readers import reading, sizes, tables, turned
from foir_lib.data.readers.layouts.listing import Listing, holds
from foir_lib.data.sets import COLUMNS, CORNERS
from foir_lib.data.values import label, labels, numbers, short
from foir_lib.errors import InputError
from foir_lib.notices import note

LEAST = {"rectangle": 2, "mask": 2, "polygon": 3, "rotation": 4, "oriented_rectangle": 4, "circle": 2}  # points of a shape
FAR = 1e9  # pixels


def files(listing: Listing) -> list[str]:
    """The JSON files of pictures that are LabelMe's."""
    return [file for file in listing.beside(".json") if holds(listing.root / file, b'"shapes"')]


def read(listing: Listing, files: list[str]) -> pd.DataFrame:
    """Objects of some files. Raises InputError for what is damaged and for other sizes than pictures have."""
    pictures, images, rows = listing.beside(".json"), [], []
    for file in files:
        content = tables.read_json(listing.root / file)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise InputError(f"{listing.root / file} has no list 'shapes': it is no file of LabelMe, write it again or remove it.")
        called = content.get("imagePath")
        image_id = listing.one(file, pictures[file], called if isinstance(called, str) else "")
        if image_id is not None:
            images.append((image_id, *numbers((content.get("imageWidth"), content.get("imageHeight"))), listing.root / file))
            where = f"{listing.root / file}: shapes"
            called, points = (tables.column(content["shapes"], key, where) for key in ("label", "points"))
            kinds = [shape.get("shape_type", "polygon") for shape in content["shapes"]]
            shapes = [_object(*shape, f"{where}[{n}]") for n, shape in enumerate(zip(kinds, points, called))]
            rows += [(image_id, *shape, file, n) for n, shape in enumerate(shapes) if shape]
    images = pd.DataFrame(images, columns=["image_id", "width", "height", "file"]).merge(listing.images[["image_id", "path"]])
    objects = pd.DataFrame(rows, columns=["image_id", "label", *CORNERS, "segmentation", "file", "n"]).assign(ignore=False)
    told = ~sizes.unusable(images[["width", "height"]].to_numpy(float))
    images, objects = turned.settled(images, objects, listing.boxes_on, "LabelMe's files")
    listing.need_sizes(*(images[told][columns] for columns in ("image_id", ["width", "height"], "file")))
    name = "{}: shapes[{}]"
    return reading.fit_objects(objects, listing.images, str(listing.root), name, objects["file"], objects["n"])[COLUMNS["objects"]]


def _object(kind, points, called, where):
    """Label, x0, y0, x1, y1 and outline (None for a rectangle) of a shape; None for one without area."""
    if isinstance(kind, str) and kind not in LEAST:
        return note("shapes without area, or of a kind that isn't read, left out", f"a {short(kind, quoted=False)} in {where}")
    pairs = isinstance(points, list) and all(isinstance(point, list) and len(point) == 2 for point in points)
    corners = np.array([numbers(point) for point in points] if pairs else [])
    if not isinstance(kind, str) or len(corners) < LEAST[kind] or not (np.abs(corners) < FAR).all():
        least = LEAST.get(kind, 2) if isinstance(kind, str) else 2
        raise InputError(f"{where} has the points {short(points)}: a {short(kind, quoted=False)} needs {least} or more x, y pairs, in pixels.")
    [name] = labels([called])
    if not isinstance(name, str) or not label(name):
        raise InputError(f"{where} has the label {short(called)}: name what is in the shape.")
    if kind == "circle":  # its centre, and a point on it
        turns = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        corners = corners[0] + np.hypot(*(corners[1] - corners[0])) * np.c_[np.cos(turns), np.sin(turns)]
    outline = None if kind in ("rectangle", "mask") else [corners.ravel().tolist()]
    return name, *corners.min(0), *(corners.max(0) + (kind == "mask")), outline  # a mask's corners are pixels of it
