"""COCO 2017 in its official layout, and whatever else is written in that format.

    root/val2017/*.jpg  root/train2017/*.jpg  root/annotations/instances_{val,train}2017.json

Boxes ``x, y, width, height`` become x0, y0, x1, y1. Segmentations (polygons, RLE) stay as they are
and decoded by ``RetrievalSet.mask``.
"""

from array import array
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data.readers import reading
from foir_lib.data.sets import CORNERS, RetrievalSet
from foir_lib.errors import InputError
from foir_lib.registry import register

REMEDY = "expected val2017/, train2017/ and annotations/instances_{val,train}2017.json; `foir data get coco --root FOLDER` fetches them."


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
    root = reading.need(root, "COCO folder", REMEDY)
    roles = {query: "query", database: "database"} if query != database else {query: "both"}
    tables = [read_split(root, split, role, check_files) for split, role in roles.items()]
    images, objects = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    reading.apart(images, query, database)
    return reading.make_set(name, images, objects, crowd_queries, crowd_positives)


def read_split(root: Path, split: str, role: str, check_files: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables images and objects of a RetrievalSet for the pictures in root/split, whose split is ``role``."""
    path = reading.need(root / "annotations" / f"instances_{split}.json", "annotation file", REMEDY)
    reading.need(root / split, "picture folder", REMEDY)
    images, objects = read(path)
    images = images.assign(path=[str(root / split / name) for name in images["file_name"]], split=role)
    if check_files:
        reading.need_files(images["path"].tolist(), path.name)
    return images.drop(columns="file_name"), objects


def read(path: str | PathLike) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of one annotation file: images (image_id, file_name, width, height), objects as in RetrievalSet.

    Boxes are clipped to their pictures, those without area left out with a warning. Raises InputError
    for broken JSON, lacking keys, wrong types, ids twice, unknown images or categories.
    """
    content = reading.read_json(path, _compact)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list) or not content[key]:
            fault = f"has no list {key!r}, or an empty one: it is no COCO instances file"
            raise InputError(f"{path} {fault}; get the file again.")
    images = reading.table(content["images"], f"{path}: images", id=int, file_name=str, width=int, height=int)
    reading.unique(images["id"], f"{path}: images")
    sizes = images[["width", "height"]]
    small = "image {} measures {} x {} pixels: give its width and height"
    reading.refuse((sizes < 1).any(axis=1), f"{path}:", small, images["id"], *sizes.to_numpy().T)
    categories = reading.table(content["categories"], f"{path}: categories", id=int, name=str)
    reading.unique(categories["id"], f"{path}: categories")
    images = images.rename(columns={"id": "image_id"})
    return images, _objects(content["annotations"], images, categories.set_index("id")["name"], path)


def _objects(annotations, images, categories, path):
    where = f"{path}: annotations"
    ids, image_ids, category_ids = (
        reading.column(annotations, key, where, int) for key in ("id", "image_id", "category_id")
    )
    reading.unique(ids, where)
    sentence = "annotation {} names the image {}, which is not in images ({n} such): add it or remove the annotation"
    reading.refuse(~pd.Index(image_ids).isin(images["image_id"]), f"{where}:", sentence, ids, image_ids)
    sentence = "annotation {} names the category {}, which is not in categories: add it or remove the annotation"
    reading.refuse(~pd.Index(category_ids).isin(categories.index), f"{where}:", sentence, ids, category_ids)
    boxes = reading.column(annotations, "bbox", where, list)
    try:
        boxes = np.array(boxes, dtype=np.float64).reshape(len(ids), 4)
    except (TypeError, ValueError):
        bad = [len(b) != 4 or not all(isinstance(v, (int, float)) for v in b) for b in boxes]
        sentence = "annotation {} has bbox {:.60}: give four numbers x, y, width, height"
        reading.refuse(bad, f"{where}:", sentence, ids, map(str, boxes))
        raise
    boxes[:, 2:] += boxes[:, :2]
    objects = pd.DataFrame({"image_id": image_ids, "label": categories.loc[category_ids].to_numpy()})
    objects[CORNERS] = boxes
    crowds = [{"iscrowd": annotation.get("iscrowd", 0)} for annotation in annotations]
    objects["ignore"] = np.array(reading.column(crowds, "iscrowd", where, int, bool, float)) == 1
    segmentations = [annotation.get("segmentation") or None for annotation in annotations]
    objects["segmentation"] = pd.Series(segmentations, dtype=object)
    objects = reading.fit_objects(objects, images, str(path), "annotation {} of image {}", ids, image_ids)
    return objects.reset_index(drop=True)


def _compact(record):
    """Polygons as arrays of doubles while the file is parsed: a quarter of the memory of lists."""
    polygons = record.get("segmentation")
    if isinstance(polygons, list):
        try:
            record["segmentation"] = [array("d", polygon) for polygon in polygons]
        except TypeError:  # not numbers: RetrievalSet.mask says so when that mask is wanted
            pass
    return record
