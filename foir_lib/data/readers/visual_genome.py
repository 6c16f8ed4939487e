"""Visual Genome 1.4 with its most frequent categories, in the official layout.

    root/{VG_100K,VG_100K_2}/*.jpg  root/image_data.json  root/objects.json  root/object_alias.txt
    root/{test,train}_list_500.txt    split of SSGRL (Chen et al., ICCV 2019): a file name per line

A list line is a file name (``2368620.jpg``, folder allowed) or a bare image id.
"""

import sys
from collections import Counter
from itertools import chain
from os import PathLike

import numpy as np
import pandas as pd

from foir_lib.data.names import stem
from foir_lib.data.readers import reading, sizes, tables, turned
from foir_lib.data.sets import CORNERS, RetrievalSet
from foir_lib.data.values import label, numbers, short, whole
from foir_lib.errors import InputError, count
from foir_lib.files import listing
from foir_lib.registry import register

REMEDY = (
    "expected VG_100K/, VG_100K_2/, image_data.json, objects.json, object_alias.txt and the lists of SSGRL "
    "test_list_500.txt and train_list_500.txt; `foir data get visual-genome --root FOLDER` fetches them."
)


@register("set", "visual-genome")
def load(
    root: str | PathLike, query: str = "test_list_500.txt", database: str = "train_list_500.txt",
    n_categories: int = 100, check_files: bool = True, boxes_on: str | None = None,
) -> RetrievalSet:  # fmt: skip
    """Visual Genome as a RetrievalSet; the paper has 9,880 query images (of 10,000 listed) and 82,904 in the database.

    Categories are the ``n_categories`` most frequent names over all annotations, after aliases, equals by
    name. query, database: list files in root. Query images without an object of these are left out
    (PHS 4.1). Boxes outside their pictures and without area are left out with a warning: they are common
    here. check_files: see that every picture is there, and how EXIF turns those of the queries; boxes_on: as for a folder.
    Raises MissingError and InputError.
    """
    count(n_categories, "n_categories")
    root = reading.need(root, "Visual Genome folder", REMEDY)
    listed = _sizes(reading.need(root / "image_data.json", "annotation file", REMEDY))
    paths = [reading.need(root / name, "list of images", REMEDY) for name in (query, database)]
    images = [listed.loc[_ids(path, listed)].assign(split=split) for path, split in zip(paths, ("query", "database"))]
    images = pd.concat(images).reset_index()
    reading.apart(images, query, database)
    second = listing(root / "VG_100K_2")
    files = [f"{image_id}.jpg" for image_id in images["image_id"]]
    images["path"] = [str(root / ("VG_100K_2" if file in second else "VG_100K") / file) for file in files]
    if check_files:
        reading.need_files(images["path"].tolist(), "Visual Genome")
    images = sizes.completed(images, "Visual Genome")
    objects = _objects(root, n_categories)
    objects = objects[objects["image_id"].isin(images["image_id"])].reset_index(drop=True)
    images, objects = turned.settled(images, objects, boxes_on, "Visual Genome", check_files)
    where = "objects.json (by image)"
    objects = reading.fit_objects(objects, images, where, "{}", objects["image_id"], strict=False)
    return reading.make_set("visual-genome", images, objects)


def _records(path, hook=None):
    """The list of images of a JSON file."""
    content = tables.read_json(path, hook)
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} is no list of images, or an empty one: get the file again.")
    return content


def _sizes(path):
    """Width and height by image id; NaN where the file tells none."""
    records = _records(path)
    [ids] = tables.ids(path, images=(records, "image_id"))
    reading.unique(ids, str(path))
    columns = {key: numbers(record.get(key) for record in records) for key in ("width", "height")}
    return pd.DataFrame({"image_id": ids, **columns}).set_index("image_id")


def _ids(path, listed):
    """Image ids of a list file."""
    lines = [(n, line.strip()) for n, line in enumerate(tables.read_text(path).splitlines(), 1) if line.strip()]
    at, lines = zip(*lines, strict=True)
    ids = [whole(stem(line)) for line in lines]
    sentence = "has {} on line {}: give an image name such as 2368620.jpg, or its number"
    reading.refuse([i is None for i in ids], path, sentence, map(short, lines), at)
    reading.unique(ids, str(path))
    sentence = "names the image {}, which is not in image_data.json ({n} such): get both files of one version"
    reading.refuse(~pd.Index(ids).isin(listed.index), path, sentence, ids)
    return ids


def aliases(path: str | PathLike) -> dict[str, str]:
    """Name -> the name it stands for, from object_alias.txt: per line the name, then its aliases, by commas.

    A name already standing for another keeps that meaning for the rest of its line.
    """
    target = {}
    for line in tables.read_text(path).splitlines():
        words = [label(word).lower() for word in line.split(",") if word.strip()]
        for word in words:
            target[word] = target.get(words[0], words[0])
    return target


def _objects(root, n_categories):
    """image_id, label and box (x0, y0, x1, y1) of every object of the most frequent categories."""
    path = reading.need(root / "objects.json", "annotation file", REMEDY)
    target = aliases(reading.need(root / "object_alias.txt", "list of aliases", REMEDY))
    records = _records(path, _compact)
    [ids] = tables.ids(path, images=(records, "image_id"))
    reading.unique(ids, str(path))
    lists = tables.column(records, "objects", str(path), list)
    image_ids = np.repeat(pd.Series(ids), [len(items) for items in lists])
    objects = list(chain.from_iterable(lists))
    sentence = "has an object of image {} without names, x, y, w and h: repair the file or get it again"
    reading.refuse([not isinstance(item, tuple) for item in objects], path, sentence, image_ids)
    labels = [target.get(item[0], item[0]) for item in objects]
    counts = Counter(label for label in labels if label)
    chosen = set(sorted(counts, key=lambda label: (-counts[label], label))[:n_categories])
    if not chosen:
        raise InputError(f"{path} has no object of a category: get the file again.")
    rows = zip(image_ids, labels, objects, strict=True)
    table = pd.DataFrame(
        [(image_id, label, *item[1:], False, None) for image_id, label, item in rows if label in chosen],
        columns=["image_id", "label", *CORNERS, "ignore", "segmentation"],
    )
    try:
        table[CORNERS] = table[CORNERS].to_numpy(dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        fault = f"has a box that is not made of numbers ({short(str(error), 200, quoted=False)})"
        raise InputError(f"{path} {fault}: repair the file or get it again.") from error
    table[["x1", "y1"]] += table[["x0", "y0"]].to_numpy()
    return table


def _compact(record):
    """Objects as tuples (name, x, y, w, h) while the file is parsed: a fraction of the memory of dicts."""
    try:
        names = [record["names"]] if isinstance(record["names"], str) else record["names"]
        name = sys.intern(label(names[0]).lower()) if names else ""
        return name, record["x"], record["y"], record["w"], record["h"]
    except (KeyError, TypeError, AttributeError):
        return record
