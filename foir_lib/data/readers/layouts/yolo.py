"""YOLO's text files: a line per object, its class, then shares of the picture: ``cx cy w h``, or the corners of its outline.

    root/images/**/*.jpg  root/labels/**/*.txt  root/data.yaml    or each text file beside its picture
"""

import re

import numpy as np
import pandas as pd

from foir_lib.data.readers import pictures, reading, tables
from foir_lib.data.readers import turned as turning
from foir_lib.data.readers.layouts import yolo_names
from foir_lib.data.readers.layouts.listing import Listing
from foir_lib.data.sets import COLUMNS
from foir_lib.data.values import numbers, short
from foir_lib.errors import InputError
from foir_lib.images import LYING

OBJECT = re.compile(rb"\s*\d+(\s+[-+.\deE]+){4,}\s*(\n|$)")
ROUNDED = 0.01  # by which a share may leave 0 to 1, as for YOLO's own trainer
FORM = "give a class and cx cy w h, or a class and three or more corners x y"


def files(listing: Listing) -> list[str]:
    """The text files of pictures, where a YAML names classes or one of the first 20 begins with an object's line."""
    found = list(listing.beside(".txt"))
    return found if yolo_names.settings(listing) or any(_first_line(listing.root / file) for file in found[:20]) else []


def read(listing: Listing, files: list[str]) -> pd.DataFrame:
    """Objects of some files. Raises InputError for what is damaged, shares that are none, and classes without a name."""
    of, held = listing.beside(".txt"), {}
    for file in files:
        if (image_id := listing.one(file, of[file])) is not None:
            held[file] = image_id
    called, n_pose = yolo_names.names(listing), yolo_names.pose(listing)
    sizes, images = _sizes(listing, list(held.values())), listing.images.assign(width=np.nan, height=np.nan)
    rows = []
    for file, image_id in held.items():
        path, size = listing.root / file, np.array(sizes[image_id], dtype=float)
        for n, line in enumerate(tables.read_text(path, empty=True).splitlines(), 1):
            if line.strip():
                number, corners, outline = _object(line, n_pose, size, where := f"{path}: line {n}")
                rows.append((image_id, called(number, where), *corners, False, outline, n, file))
    objects = pd.DataFrame(rows, columns=[*COLUMNS["objects"], "n", "file"])
    objects = turning.settled(images, objects, listing.boxes_on, "YOLO's files")[1]
    where, name = str(listing.root), "line {} of {}"
    return reading.fit_objects(objects, listing.images, where, name, objects["n"], objects["file"])[COLUMNS["objects"]]


def _sizes(listing, ids):
    """Width and height that shares are of, by image id: as it is shown, or of the stored pixels."""
    sizes = dict(zip(listing.sizes.index, listing.sizes.to_numpy().tolist()))
    if listing.boxes_on == "stored":
        paths = listing.images.set_index("image_id")["path"].loc[ids].tolist()
        for image_id, header in zip(ids, pictures.headers(paths, "YOLO's files", lenient=True)):
            if header[2] in LYING:
                sizes[image_id] = sizes[image_id][::-1]
    return sizes


def _object(line, n_pose, size, where):
    """Class, corners in pixels (4,) and outline or None, of one line."""
    values = numbers(line.split())
    shares, n = values[1:], len(values) - 1
    is_box = n == 4 or n == 4 + n_pose > 4
    if not np.isfinite(values).all() or values[0] < 0 or values[0] % 1 or not (is_box or (n >= 6 and n % 2 == 0)):
        more = "; a sixth number, as of predictions, must go" if n == 5 else ""
        raise InputError(f"{where} has {short(line)}: {FORM}{more}.")
    shares = shares[:4] if is_box else shares
    if shares.min() < -ROUNDED or shares.max() > 1 + ROUNDED:
        fact = f"has {shares[(shares < -ROUNDED) | (shares > 1 + ROUNDED)][0]:g}, and YOLO's numbers are shares of the picture, from 0 to 1"
        raise InputError(f"{where} {fact}: divide pixels by its width ({size[0]:g}) and height ({size[1]:g}).")
    points = shares.reshape(-1, 2) * size
    if is_box:
        return int(values[0]), np.concatenate([points[0] - points[1] / 2, points[0] + points[1] / 2]), None
    return int(values[0]), np.concatenate([points.min(0), points.max(0)]), [np.clip(points, 0, size).ravel().tolist()]


def _first_line(path):
    """Whether a file begins with an object's line."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return OBJECT.match(file.read(2000)) is not None
