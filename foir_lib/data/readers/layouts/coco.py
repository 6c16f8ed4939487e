"""COCO instances JSON of any name, beside or above its pictures; Roboflow's ``_annotations.coco.json`` in each split."""

import pandas as pd

from foir_lib.data.readers import coco, reading, turned
from foir_lib.data.readers.layouts.listing import Listing, holds, together

KEYS = (b'"images"', b'"annotations"', b'"categories"', b'"bbox"')


def files(listing: Listing) -> list[str]:
    """Those files that are COCO's: ``boxes.json`` alone where there is one."""
    if "boxes.json" in listing.files:
        return ["boxes.json"]
    return [file for file in listing.ending(".json") if holds(listing.root / file, *KEYS)]


def read(listing: Listing, files: list[str]) -> pd.DataFrame:
    """Objects of some files. Raises InputError for what is damaged, for unknown pictures and other sizes than they have."""
    return together((file, _one(listing, file)) for file in files)


def _one(listing, file):
    path, top = listing.root / file, listing.top(file)
    path_of = listing.images.set_index("image_id")["path"]

    def here(listed, objects):
        return listing.found(listed["file_name"], path, listed["image_id"].isin(objects["image_id"]), top)

    def measured(names, has_objects):
        ids = listing.found(names, path, has_objects, top)
        return [listing.sizes.loc[i] if i is not None else (1, 1) for i in ids]

    def settled(listed, objects):
        listed = listed.assign(path=here(listed, objects).map(path_of))
        return turned.settled(listed, objects, listing.boxes_on, path.name)

    listed, objects = coco.read(path, measured, settled)
    listed["here"] = here(listed, objects)
    known = listed.dropna(subset="here")
    reading.unique(known["here"], f"{path}: images")
    listing.need_sizes(known["here"], known[["width", "height"]], [path] * len(known))
    renamed = objects["image_id"].map(listed.set_index("image_id")["here"])
    return objects.assign(image_id=renamed)[renamed.notna()]
