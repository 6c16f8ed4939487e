"""PASCAL VOC's XML beside each picture, or in ``Annotations`` beside ``JPEGImages``; corners count from 1, as there."""

import pandas as pd

from foir_lib.data.readers import reading, sizes, turned, voc
from foir_lib.data.readers.layouts.listing import Listing, holds
from foir_lib.data.sets import COLUMNS, CORNERS


def files(listing: Listing) -> list[str]:
    """The XML files of pictures that are VOC's."""
    return [file for file in listing.beside(".xml") if holds(listing.root / file, b"annotation")]


def read(listing: Listing, files: list[str]) -> pd.DataFrame:
    """Objects of some files. Raises InputError for what is damaged and for other sizes than pictures have."""
    pictures, images, rows = listing.beside(".xml"), [], []
    for file in files:
        size, objects, called = voc.read(listing.root / file)
        image_id = listing.one(file, pictures[file], called)
        if image_id is not None:
            images.append((image_id, *size, listing.root / file))
            rows += [(image_id, *item, None, file) for item in objects]
    images = pd.DataFrame(images, columns=["image_id", "width", "height", "file"]).merge(listing.images[["image_id", "path"]])
    objects = pd.DataFrame(rows, columns=["image_id", "label", *CORNERS, "ignore", "segmentation", "file"])
    told = ~sizes.unusable(images[["width", "height"]].to_numpy(float))
    images, objects = turned.settled(images, objects, listing.boxes_on, "VOC's XML")
    listing.need_sizes(*(images[told][columns] for columns in ("image_id", ["width", "height"], "file")))
    objects = reading.fit_objects(objects, listing.images, str(listing.root), "{} in {}", objects["label"], objects["file"])
    return objects[COLUMNS["objects"]]
