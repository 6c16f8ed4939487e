"""COCO 2017 in its official layout, and whatever else is written in that format.

    root/val2017/*.jpg  root/train2017/*.jpg  root/annotations/instances_{val,train}2017.json

Boxes ``x, y, width, height`` become x0, y0, x1, y1. Segmentations (polygons, RLE) stay as they are
and decoded by ``RetrievalSet.mask``.
"""

import filecmp
import os
from array import array
from collections.abc import Callable
from itertools import compress
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data import names
from foir_lib.data.readers import pictures, reading, sizes, tables, turned
from foir_lib.data.sets import CORNERS, RetrievalSet
from foir_lib.data.values import flags, labels, numbers, short, whole
from foir_lib.errors import InputError
from foir_lib.notices import note
from foir_lib.registry import register

REMEDY = "expected val2017/, train2017/ and annotations/instances_{val,train}2017.json; `foir data get coco --root FOLDER` fetches them."


@register("set", "coco")
def load(
    root: str | PathLike, query: str = "val2017", database: str = "train2017",
    crowd_queries: bool = False, crowd_positives: bool = True, check_files: bool = True, boxes_on: str | None = None,
    name: str = "coco",
) -> RetrievalSet:  # fmt: skip
    """COCO as a RetrievalSet: 4,952 of the 5,000 val2017 images have boxes to query with, 118,287 are the database.

    query, database: the splits (folder names); the same name twice searches a split in itself.
    crowd_queries, crowd_positives: whether crowd regions are queries, and whether they count as "contains"
    (METHODS 1). check_files: see that every picture is there, and how EXIF turns those of the queries; boxes_on: as for a folder.
    Raises MissingError and InputError.
    """
    root = reading.need(root, "COCO folder", REMEDY)
    roles = {query: "query", database: "database"} if query != database else {query: "both"}
    splits = [read_split(root, split, role, check_files, boxes_on) for split, role in roles.items()]
    images, objects = (pd.concat(parts, ignore_index=True) for parts in zip(*_apart(splits, list(roles)), strict=True))
    return reading.make_set(name, images, objects, crowd_queries, crowd_positives)


def read_split(
    root: Path, split: str, role: str, check_files: bool = True, boxes_on: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables images and objects of a RetrievalSet for the pictures in root/split, whose split is ``role``.

    Queries without objects are left out; their pictures needn't be there.
    """
    path = reading.need(root / "annotations" / f"instances_{split}.json", "annotation file", REMEDY)
    folder = reading.need(root / split, "picture folder", REMEDY)
    return read_part(path, folder, role, check_files, boxes_on)


def read_part(
    path: Path, folder: Path, role: str, check_files: bool = True, boxes_on: str | None = None, by_id: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As :func:`read_split` for an annotation file and the folder of its pictures; by_id: labels are the ids of categories."""

    def measured(files, has_objects):
        measures, needed = np.ones((len(files), 2)), has_objects | (role != "query")
        measures[needed] = pictures.sizes(_paths(folder, files[needed], path, check_files), path.name)
        return measures

    def settled(listed, objects):
        listed = listed.assign(path=_paths(folder, listed["file_name"], path, check_files), split=role)
        return turned.settled(listed, objects, boxes_on, path.name, check_files)

    images, objects = read(path, measured, settled, by_id)
    images = images[images["image_id"].isin(objects["image_id"]) | (role != "query")].reset_index(drop=True)
    if check_files:
        reading.need_files(images["path"].tolist(), path.name)
    return images.drop(columns="file_name"), objects


def _paths(folder, files, where, check_files):
    """Paths of pictures below ``folder``: as they are called, else, looked for, of the one that the name fits."""
    inside = np.array([names.inside(file) for file in files], dtype=bool)
    paths, lost = [str(folder / file) for file in files], ~inside
    if check_files:
        lost[inside] = reading.absent(list(compress(paths, inside)))
    if lost.any():
        known = [Path(path).relative_to(folder).as_posix() for path in pictures.below(folder)]
        of = names.resolve(list(compress(files, lost)), known, folder, where, ~inside[lost])
        for row, path in zip(np.flatnonzero(lost), of, strict=True):
            paths[row] = paths[row] if path is None else str(folder / path)
    return paths


def _apart(splits, titles):
    """The tables of two splits with ids that are unique. Raises InputError where one picture is in both."""
    paths = [dict(zip(images["image_id"], images["path"])) for images, _ in splits]
    common = [i for i in paths[0] if len(paths) > 1 and i in paths[1]]
    same = [i for i in common if _same(*(path[i] for path in paths))]
    sentence = "{} is in both {} and {} ({n} such ids): a query picture must not be in the database"
    reading.refuse([True] * len(same), "Image id", sentence, same, *([title] * len(same) for title in titles))
    note(f"image ids that {' and '.join(titles)} both have, now SPLIT/ID", *common[:1], n=len(common))
    if not common:
        return splits
    return [
        [table.assign(image_id=f"{title}/" + table["image_id"].astype(str)) for table in split]
        for title, split in zip(titles, splits, strict=True)
    ]


def _same(one, other):
    """Whether two files of one name are the same picture; yes if they aren't there."""
    if os.path.basename(one) != os.path.basename(other):
        return False
    return not (os.path.isfile(one) and os.path.isfile(other)) or filecmp.cmp(one, other, shallow=False)


def read(
    path: str | PathLike, measured: Callable[..., np.ndarray] | None = None, settled: Callable | None = None, by_id: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of one annotation file: images (image_id, file_name, width, height), objects as in RetrievalSet.

    ``measured(file_names, has_objects)``: sizes (n, 2) of pictures whose sizes the file doesn't tell; ``settled(images, objects)``:
    both, for pictures as EXIF turns them; by_id: labels are the ids of categories, not their names. Boxes are clipped to their pictures, those without area left out and counted. Raises InputError for broken JSON, lacking keys, wrong types,
    image ids twice, unknown images or categories.
    """
    content = tables.read_json(path, _compact)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list) or not content[key]:
            fault = f"has no list {key!r}, or an empty one: it is no COCO instances file"
            raise InputError(f"{path} {fault}; get the file again.")
    annotations, where = content["annotations"], f"{path}: annotations"
    image_ids, of_image = tables.ids(path, images=(content["images"], "id"), annotations=(annotations, "image_id"))
    categories, of_category = tables.ids(path, categories=(content["categories"], "id"), annotations=(annotations, "category_id"))
    reading.unique(image_ids, f"{path}: images")
    reading.unique(categories, f"{path}: categories")
    sentence = "annotation {} names the image {}, which is not in images ({n} such): add it or remove the annotation"
    titles = [f"[{row}]" if (i := whole(a.get("id"))) is None else i for row, a in enumerate(annotations)]
    reading.refuse(~pd.Index(of_image).isin(image_ids), f"{where}:", sentence, titles, of_image)
    sentence = "annotation {} names the category {}, which is not in categories: add it or remove the annotation"
    reading.refuse(~pd.Index(of_category).isin(categories), f"{where}:", sentence, titles, of_category)
    called = categories if by_id else tables.column(content["categories"], "name", f"{path}: categories", str, int)
    of_name = dict(zip(categories, labels(called)))
    objects = pd.DataFrame({"image_id": of_image, "label": [of_name[i] for i in of_category]})
    objects[CORNERS] = _boxes(annotations, where, titles)
    objects["ignore"] = flags([a.get("iscrowd") for a in annotations], f"{where}: iscrowd")
    objects["segmentation"] = pd.Series([a.get("segmentation") or None for a in annotations], dtype=object)
    images = pd.DataFrame({"image_id": image_ids, "file_name": tables.column(content["images"], "file_name", f"{path}: images", str)})
    images[["width", "height"]] = _sizes(content["images"], images, path, measured, images["image_id"].isin(of_image))
    if settled is not None:
        images, objects = settled(images, objects)
    objects = reading.fit_objects(objects, images, str(path), "annotation {} of image {}", titles, of_image)
    return images, objects.reset_index(drop=True)


def _boxes(annotations, where, titles):
    """Corners, float (n, 4)."""
    boxes = tables.column(annotations, "bbox", where, list)
    try:
        corners = np.array(boxes, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        corners = None
    if corners is None or corners.shape != (len(boxes), 4):
        read = [(box, numbers(box)) for box in boxes]
        strange = [len(n) != 4 or any(np.isnan(n) & [not isinstance(v, float) for v in box]) for box, n in read]
        sentence = "annotation {} has bbox {}: give four numbers x, y, width, height"
        reading.refuse(strange, f"{where}:", sentence, titles, map(short, boxes))
        corners = np.array([n for _, n in read])
    corners[:, 2:] += corners[:, :2]
    return corners


def _sizes(records, images, path, measured, has_objects):
    """Widths and heights, int (n, 2), of the pictures: what the file says, else what the picture has."""
    told = np.c_[tuple(numbers(record.get(key) for record in records) for key in ("width", "height"))]
    lacking = sizes.unusable(told)
    if measured is None:
        sentence = "image {} measures {:g} x {:g} pixels: give its width and height"
        reading.refuse(lacking, f"{path}:", sentence, images["image_id"], *told.T)
    elif lacking.any():
        files = images["file_name"].to_numpy()[lacking]
        told[lacking] = measured(files, has_objects.to_numpy()[lacking])
        sizes.noted(files)
    return told.astype(np.int64)


def _compact(record):
    """Polygons as arrays of doubles while the file is parsed: a quarter of the memory of lists."""
    polygons = record.get("segmentation")
    if isinstance(polygons, list):
        try:
            record["segmentation"] = [array("d", polygon) for polygon in polygons]
        except (TypeError, OverflowError):  # not numbers: RetrievalSet.mask says so when that mask is wanted
            pass
    return record
