"""Visual Genome 1.4 with its most frequent categories, in the official layout.

    root/{VG_100K,VG_100K_2}/*.jpg  root/image_data.json  root/objects.json  root/object_alias.txt
    root/{test,train}_list_500.txt    split of SSGRL (Chen et al., ICCV 2019): a file name per line

A list line is a file name (``2368620.jpg``, folder allowed) or a bare image id.
"""

import sys
from collections import Counter
from itertools import chain
from os import PathLike
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from foir_lib.data.readers import reading
from foir_lib.data.sets import CORNERS, RetrievalSet
from foir_lib.errors import InputError, count
from foir_lib.registry import register

REMEDY = (
    "expected VG_100K/, VG_100K_2/, image_data.json, objects.json, object_alias.txt and the lists of SSGRL "
    "test_list_500.txt and train_list_500.txt; `foir data get visual-genome --root FOLDER` fetches them."
)


@register("set", "visual-genome")
def load(
    root: str | PathLike, query: str = "test_list_500.txt", database: str = "train_list_500.txt",
    n_categories: int = 100, check_files: bool = True,
) -> RetrievalSet:  # fmt: skip
    """Visual Genome as a RetrievalSet; the paper has 9,880 query images (of 10,000 listed) and 82,904 in the database.

    Categories are the ``n_categories`` most frequent names over all annotations, after aliases, equals by
    name. query, database: list files in root. Query images without an object of these are left out
    (PHS 4.1). Boxes outside their pictures and without area are left out with a warning: they are common
    here. check_files: see that every picture is there. Raises MissingError and InputError.
    """
    count(n_categories, "n_categories")
    root = reading.need(root, "Visual Genome folder", REMEDY)
    sizes = _sizes(reading.need(root / "image_data.json", "annotation file", REMEDY))
    lists = {
        split: _ids(reading.need(root / name, "list of images", REMEDY), sizes)
        for split, name in (("query", query), ("database", database))
    }
    images = pd.concat([sizes.loc[ids].assign(split=split) for split, ids in lists.items()]).reset_index()
    twice = images["image_id"].duplicated()
    if twice.any():
        raise InputError(
            f"Image {images['image_id'][twice].iloc[0]} is in both {query} and {database} ({twice.sum()} such): a query picture must not be in the database."
        )
    folders = {folder: reading.listing(root / folder) for folder in ("VG_100K", "VG_100K_2")}
    names = [f"{image_id}.jpg" for image_id in images["image_id"]]
    images["path"] = [str(root / ("VG_100K_2" if n in folders["VG_100K_2"] else "VG_100K") / n) for n in names]
    if check_files:
        reading.need_files(images["path"].tolist(), "Visual Genome")
    objects = _objects(root, n_categories)
    objects = objects[objects["image_id"].isin(images["image_id"])].reset_index(drop=True)
    boxes, keep = reading.fit_boxes(
        objects[CORNERS],
        sizes.loc[objects["image_id"]].to_numpy(),
        objects["image_id"].tolist(),
        "objects.json (by image)",
        strict=False,
    )
    objects[CORNERS] = boxes
    objects["ignore"] = False
    objects["segmentation"] = None
    return reading.make_set("visual-genome", images, objects[keep])


def _sizes(path):
    """Width and height by image id."""
    records = _list(path, reading.read_json(path))
    table = pd.DataFrame(
        {key: reading.column(records, key, str(path), (int,)) for key in ("image_id", "width", "height")}
    )
    reading.unique(table["image_id"].tolist(), str(path))
    return table.set_index("image_id")


def _list(path, content):
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} is no list of images, or an empty one: get the file again.")
    return content


def _ids(path, sizes):
    """Image ids of a list file."""
    lines = [
        (number, line.strip()) for number, line in enumerate(reading.read_text(path).splitlines(), 1) if line.strip()
    ]
    ids = []
    for number, line in lines:
        name = PurePosixPath(line.replace("\\", "/")).stem
        if not name.isdecimal():
            raise InputError(
                f"{path} has {line[:60]!r} on line {number}: give an image name such as 2368620.jpg, or its number."
            )
        ids.append(int(name))
    reading.unique(ids, str(path))
    unknown = [i for i in ids if i not in sizes.index]
    if unknown:
        raise InputError(
            f"{path} names the image {unknown[0]}, which is not in image_data.json ({len(unknown)} such): get both files of one version."
        )
    return ids


def aliases(path: str | PathLike) -> dict[str, str]:
    """Name -> the name it stands for, from object_alias.txt: per line the name, then its aliases, by commas.

    A name already standing for another keeps that meaning for the rest of its line.
    """
    target = {}
    for line in reading.read_text(path).splitlines():
        words = [word.strip().lower() for word in line.split(",") if word.strip()]
        for word in words:
            target[word] = target.get(words[0], words[0])
    return target


def _objects(root, n_categories):
    """image_id, label and box (x0, y0, x1, y1) of every object of the most frequent categories."""
    path = reading.need(root / "objects.json", "annotation file", REMEDY)
    target = aliases(reading.need(root / "object_alias.txt", "list of aliases", REMEDY))
    records = _list(path, reading.read_json(path, _compact))
    image_ids = reading.column(records, "image_id", str(path), (int,))
    reading.unique(image_ids, str(path))
    per_image = reading.column(records, "objects", str(path), (list,))
    owners = np.repeat(image_ids, [len(objects) for objects in per_image])
    objects = list(chain.from_iterable(per_image))
    for row, item in enumerate(objects):
        if not isinstance(item, tuple):
            raise InputError(
                f"{path} has an object of image {owners[row]} without names, x, y, w and h: repair the file or get it again."
            )
    labels = [target.get(item[0], item[0]) for item in objects]
    counts = Counter(label for label in labels if label)
    chosen = sorted(counts, key=lambda label: (-counts[label], label))[:n_categories]
    keep = pd.Series(labels, dtype=object).isin(chosen).to_numpy()
    if not keep.any():
        raise InputError(
            f"{path} has no object of a category: ask for at least one of its {len(counts)} (n_categories={n_categories})."
        )
    table = pd.DataFrame(
        {"image_id": owners[keep], "label": [label for label, k in zip(labels, keep, strict=True) if k]}
    )
    try:
        x, y, w, h = np.array([item[1:] for item, k in zip(objects, keep, strict=True) if k], dtype=np.float64).T
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path} has a box that is not made of numbers ({error}): repair the file or get it again."
        ) from error
    table[CORNERS] = np.stack([x, y, x + w, y + h], axis=1)
    return table


def _compact(record):
    """Objects as tuples (name, x, y, w, h) while the file is parsed: a fraction of the memory of dicts."""
    try:
        names = record["names"]
        return (
            sys.intern(names[0].strip().lower()) if names else "",
            record["x"],
            record["y"],
            record["w"],
            record["h"],
        )
    except (KeyError, TypeError, AttributeError):
        return record
