"""COCO 2017 in its official layout, and whatever else is written in that format.

    root/val2017/*.jpg  root/train2017/*.jpg  root/annotations/instances_{val,train}2017.json

Boxes ``x, y, width, height`` become x0, y0, x1, y1. Segmentations (polygons, RLE) are kept as they are
and decoded by ``RetrievalSet.mask``.
"""

from array import array
from os import PathLike

import numpy as np
import pandas as pd

from foir_lib.data.readers import reading
from foir_lib.data.sets import CORNERS, RetrievalSet
from foir_lib.errors import InputError
from foir_lib.registry import register


@register("set", "coco")
def load(
    root: str | PathLike, query: str = "val2017", database: str = "train2017",
    crowd_queries: bool = False, crowd_positives: bool = True, check_files: bool = True, name: str = "coco",
) -> RetrievalSet:  # fmt: skip
    """COCO as a RetrievalSet: 4,952 of the 5,000 val2017 images have boxes to query with, 118,287 are the database.

    query, database: the splits (folder names); the same name twice searches a split in itself.
    crowd_queries, crowd_positives: whether crowd regions are queries, and whether they count as "contains"
    (METHODS 1). check_files: see that every picture is there. Raises MissingError and InputError.
    """
    remedy = "expected val2017/, train2017/ and annotations/instances_{val,train}2017.json; `foir data get coco --root FOLDER` fetches them."
    root = reading.need(root, "COCO folder", remedy)
    tables = []
    for split in dict.fromkeys((query, database)):
        path = reading.need(root / "annotations" / f"instances_{split}.json", "annotation file", remedy)
        reading.need(root / split, "picture folder", remedy)
        images, objects = read(path)
        images = images.assign(
            path=[str(root / split / name) for name in images["file_name"]],
            split="both" if query == database else "query" if split == query else "database",
        )
        if check_files:
            reading.need_files(images["path"].tolist(), f"{path.name}")
        tables.append((images.drop(columns="file_name"), objects))
    images, objects = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    twice = images["image_id"].duplicated()
    if twice.any():
        raise InputError(
            f"Image id {images['image_id'][twice].iloc[0]} is in both {query} and {database} ({twice.sum()} such ids): a query picture must not be in the database."
        )
    return reading.make_set(name, images, objects, crowd_queries, crowd_positives)


def read(path: str | PathLike) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of one annotation file: images (image_id, file_name, width, height), objects as in RetrievalSet.

    Boxes are clipped to their pictures, those without area left out with a warning. Raises InputError
    for broken JSON, lacking keys, wrong types, ids twice, unknown images or categories.
    """
    content = reading.read_json(path, _compact)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list) or not content[key]:
            raise InputError(
                f"{path} has no list {key!r}, or an empty one: it is no COCO instances file; get the file again."
            )
    columns = {"id": (int,), "file_name": (str,), "width": (int,), "height": (int,)}
    images = pd.DataFrame({k: reading.column(content["images"], k, f"{path}: images", t) for k, t in columns.items()})
    reading.unique(images["id"].tolist(), f"{path}: images")
    tiny = ((images["width"] < 1) | (images["height"] < 1)).to_numpy()
    if tiny.any():
        row = images.iloc[tiny.argmax()]
        raise InputError(
            f"{path}: image {row['id']} measures {row['width']} x {row['height']} pixels: give its width and height."
        )
    names = [
        reading.column(content["categories"], k, f"{path}: categories", t)
        for k, t in (("id", (int,)), ("name", (str,)))
    ]
    reading.unique(names[0], f"{path}: categories")
    return images.rename(columns={"id": "image_id"}), _objects(
        content["annotations"], images, dict(zip(*names, strict=True)), path
    )


def _objects(annotations, images, categories, path):
    where = f"{path}: annotations"
    ids, image_ids, category_ids = (
        reading.column(annotations, key, where, (int,)) for key in ("id", "image_id", "category_id")
    )
    reading.unique(ids, where)
    rows = pd.Index(images["id"]).get_indexer(image_ids)
    if (rows < 0).any():
        row = int((rows < 0).argmax())
        raise InputError(
            f"{where}: annotation {ids[row]} names the image {image_ids[row]}, which is not in images ({(rows < 0).sum()} such): add the image or remove the annotation."
        )
    if not set(category_ids) <= set(categories):
        row = next(i for i, c in enumerate(category_ids) if c not in categories)
        raise InputError(
            f"{where}: annotation {ids[row]} names the category {category_ids[row]}, which is not in categories: add the category or remove the annotation."
        )
    boxes = reading.column(annotations, "bbox", where, (list,))
    try:
        boxes = np.array(boxes, dtype=np.float64).reshape(len(ids), 4)
    except (TypeError, ValueError):
        row = next(i for i, b in enumerate(boxes) if len(b) != 4 or not all(isinstance(v, (int, float)) for v in b))
        raise InputError(
            f"{where}: annotation {ids[row]} has bbox {str(boxes[row])[:60]}: give four numbers x, y, width, height."
        ) from None
    boxes[:, 2:] += boxes[:, :2]
    names = Names(ids, image_ids)
    boxes, keep = reading.fit_boxes(boxes, images[["width", "height"]].to_numpy()[rows], names, str(path))
    objects = pd.DataFrame({"image_id": image_ids, "label": [categories[c] for c in category_ids]})
    objects[CORNERS] = boxes
    crowds = [{"iscrowd": annotation.get("iscrowd", 0)} for annotation in annotations]
    objects["ignore"] = np.array(reading.column(crowds, "iscrowd", where, (int, bool, float))) == 1
    objects["segmentation"] = pd.Series(
        [annotation.get("segmentation") or None for annotation in annotations], dtype=object
    )
    return objects[keep].reset_index(drop=True)


class Names:
    """What to call annotation i in a sentence, put together when one is needed: there are 860,000 in train2017."""

    def __init__(self, ids, image_ids):
        self.ids, self.image_ids = ids, image_ids

    def __getitem__(self, row):
        return f"annotation {self.ids[row]} of image {self.image_ids[row]}"

    def __iter__(self):
        return (self[row] for row in range(len(self.ids)))


def _compact(record):
    """Polygons as arrays of doubles while the file is parsed: a quarter of the memory of lists."""
    polygons = record.get("segmentation")
    if isinstance(polygons, list):
        try:
            record["segmentation"] = [array("d", polygon) for polygon in polygons]
        except TypeError:  # not numbers: RetrievalSet.mask says so when that mask is wanted
            pass
    return record
